"""
Every entrance refuses an image that is unlike those of the calibration, and says why; others pass. (Exported guards
have their tests in a folder of their own.)
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from transformers import pipeline
from typer.testing import CliRunner

from safe_llava.audit import SourceSpec, read_verdicts, run_audit
from safe_llava.checkpoints import load_guard
from safe_llava.cli import app
from safe_llava.guards.torch_guard import TorchGuard
from safe_llava.inference import ask
from safe_llava.serving.guard_pass import GuardPass, GuardRequest
from safe_llava.serving.moderation_shapes import moderation_result
from safe_llava.serving.policy_holder import PolicyInForce


ENTRANCES = ("by_pipeline", "by_chat", "by_generating", "by_asking", "by_guard", "by_audit", "by_serving")


@dataclass
class Entrances:
    """Each method says what is done with an image, and why it is not trusted where the entrance tells."""

    checkpoint: str
    model: Any
    processor: Any
    work_dir: Path

    def by_pipeline(self, image) -> tuple[str, str | None]:
        found = pipeline("safety-classification", model=self.checkpoint, device="cpu")(image)
        return found["decision"]["action"], found["distrust"]

    def by_chat(self, image) -> str:
        converse = pipeline("image-text-to-text", model=self.checkpoint, device="cpu")
        chat = [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": "What ?"}]}]
        (answer,) = converse(text=chat, max_new_tokens=60, return_full_text=False)
        is_refused = answer["generated_text"].strip() == self.model.safety_policy.untrusted_refusal
        return "refuse" if is_refused else "answer"

    def by_generating(self, image) -> tuple[str, str | None]:
        inputs = self.processor(images=[image], text="<image> What ?", return_tensors="pt")
        output = self.model.generate(**inputs, max_new_tokens=1, return_dict_in_generate=True)
        return output["safety_decisions"][0].action, output["safety_verdict"].distrust[0]

    def by_asking(self, image) -> tuple[str, str | None]:
        answer = ask(self.model, self.processor, "What ?", [image], max_new_tokens=1)
        return answer.decision.action, answer.verdict["distrust"]

    def by_guard(self, image) -> tuple[str, str | None]:
        guard = TorchGuard(*load_guard(self.checkpoint, "cpu"))
        verdict = guard.assess(guard.encode(["<image> What ?"], [guard.encode_images([image])]))
        return verdict.decide(guard.policy)[0].action, verdict.distrust[0]

    def by_audit(self, image) -> tuple[str, str | None]:
        (self.work_dir / "images").mkdir()
        image.save(self.work_dir / "images" / "image.png")
        run_audit(
            SourceSpec(str(self.work_dir / "images")),
            self.checkpoint,
            self.work_dir / "audit",
            device="cpu",
            workers=1,
        )
        (row,) = read_verdicts(self.work_dir / "audit").to_pylist()
        return row["action"], "unfamiliar" if any("unlike those" in note for note in row["notes"]) else None

    def by_serving(self, image) -> tuple[str, str | None]:
        guard = TorchGuard(self.model, self.processor)
        (prompt,) = guard.encode(["<image> What ?"], [guard.encode_images([image])])
        (assessment,) = GuardPass(guard)([GuardRequest(prompt, PolicyInForce(guard.policy, "1"))])
        result = moderation_result(assessment, ["image"])
        return result["action"], result["distrust"]


@pytest.fixture(scope="module")
def checkpoint(discerning_safe_llava, tiny_processor, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("discerning")
    discerning_safe_llava.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_it_refuses_what_is_unfamiliar_and_nothing_else(
    entrance, checkpoint, discerning_safe_llava, tiny_processor, make_image, strange_image, tmp_path
):
    for kind, image, expected in (
        ("familiar", make_image(7), ("answer", None)),
        ("strange", strange_image, ("refuse", "unfamiliar")),
    ):
        (tmp_path / kind).mkdir()
        entrances = Entrances(checkpoint, discerning_safe_llava, tiny_processor, tmp_path / kind)
        found = getattr(entrances, entrance)(image)
        assert found == (expected if isinstance(found, tuple) else expected[0])


def test_the_command_line_says_why(checkpoint, strange_image, tmp_path):
    strange_image.save(tmp_path / "strange.png")
    asked = ["ask", checkpoint, "--image", str(tmp_path / "strange.png"), "--question", "What ?"]
    result = CliRunner().invoke(app, [*asked, "--max-new-tokens", "1"])
    assert "(not trusted: unfamiliar)" in result.output


def test_what_it_knows_is_no_code(checkpoint):
    record = json.loads((Path(checkpoint) / "config.json").read_text())["safety_familiarity"]
    assert set(record) == {"weights", "share", "rows", "threshold", "rest", "mean", "variances", "axes"}
