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


ENTRANCES = ("by_pipeline", "by_chat", "by_generating", "by_asking", "by_guard", "by_audit", "by_serving")


@dataclass
class Entrances:
    """Each method says of images what is done with them, and why they are not trusted where the entrance tells."""

    checkpoint: str
    model: Any
    processor: Any
    work_dir: Path

    def by_pipeline(self, images) -> list:
        found = pipeline("safety-classification", model=self.checkpoint, device="cpu")(images)
        return [(each["decision"]["action"], each["distrust"]) for each in found]

    def by_chat(self, images) -> list:
        converse = pipeline("image-text-to-text", model=self.checkpoint, device="cpu")
        question = {"type": "text", "text": "What ?"}
        chats = [[{"role": "user", "content": [{"type": "image", "image": image}, question]}] for image in images]
        answers = [converse(text=chat, max_new_tokens=60, return_full_text=False)[0] for chat in chats]
        refusal = self.model.safety_policy.untrusted_refusal
        return ["refuse" if answer["generated_text"].strip() == refusal else "answer" for answer in answers]

    def by_generating(self, images) -> list:
        inputs = self.processor(images=images, text=["<image> What ?"] * len(images), return_tensors="pt")
        output = self.model.generate(**inputs, max_new_tokens=1, return_dict_in_generate=True)
        actions = [decision.action for decision in output["safety_decisions"]]
        return list(zip(actions, output["safety_verdict"].distrust))

    def by_asking(self, images) -> list:
        answers = [ask(self.model, self.processor, "What ?", [image], max_new_tokens=1) for image in images]
        return [(answer.decision.action, answer.verdict["distrust"]) for answer in answers]

    def by_guard(self, images) -> list:
        guard = TorchGuard(*load_guard(self.checkpoint, "cpu"))
        verdict = guard.assess([self._prompt(guard, image) for image in images])
        return list(zip([decision.action for decision in verdict.decide(guard.policy)], verdict.distrust))

    def by_audit(self, images) -> list:
        (self.work_dir / "images").mkdir()
        for number, image in enumerate(images):
            image.save(self.work_dir / "images" / f"{number}.png")
        source = SourceSpec(str(self.work_dir / "images"))
        run_audit(source, self.checkpoint, self.work_dir / "audit", device="cpu", workers=1)
        rows = sorted(read_verdicts(self.work_dir / "audit").to_pylist(), key=lambda row: row["key"])
        reasons = ["unfamiliar" if any("unlike those" in note for note in row["notes"]) else None for row in rows]
        return list(zip([row["action"] for row in rows], reasons))

    def by_serving(self, images) -> list:
        pytest.importorskip("pydantic")
        from safe_llava.serving.guard_pass import GuardPass, GuardRequest
        from safe_llava.serving.moderation_shapes import moderation_result
        from safe_llava.serving.policy_holder import PolicyInForce

        guard = TorchGuard(self.model, self.processor)
        in_force = PolicyInForce(guard.policy, "1")
        found = GuardPass(guard)([GuardRequest(self._prompt(guard, image), in_force) for image in images])
        results = [moderation_result(assessment, ["image"]) for assessment in found]
        return [(result["action"], result["distrust"]) for result in results]

    def _prompt(self, guard, image):
        return guard.encode(["<image> What ?"], [guard.encode_images([image])])[0]


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
    entrances = Entrances(checkpoint, discerning_safe_llava, tiny_processor, tmp_path)
    found = getattr(entrances, entrance)([make_image(7), strange_image])
    assert found in ([("answer", None), ("refuse", "unfamiliar")], ["answer", "refuse"])


def test_the_command_line_says_why(checkpoint, strange_image, tmp_path):
    strange_image.save(tmp_path / "strange.png")
    asked = ["ask", checkpoint, "--image", str(tmp_path / "strange.png"), "--question", "What ?"]
    result = CliRunner().invoke(app, [*asked, "--max-new-tokens", "1"])
    assert "(not trusted: unfamiliar)" in result.output


def test_what_it_knows_is_no_code(checkpoint):
    record = json.loads((Path(checkpoint) / "config.json").read_text())["safety_familiarity"]
    assert set(record) == {"weights", "share", "rows", "threshold", "rest", "mean", "variances", "axes"}


def test_another_knowledge_makes_it_another_guard(discerning_safe_llava, tiny_processor, monkeypatch):
    guard = TorchGuard(discerning_safe_llava, tiny_processor)
    before, known = guard.version, discerning_safe_llava.config.safety_familiarity
    changed = {**known, "threshold": 2 * known["threshold"]}
    monkeypatch.setattr(discerning_safe_llava.config, "safety_familiarity", changed)
    assert guard.version != before
