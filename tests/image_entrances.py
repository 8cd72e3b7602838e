"""Every way by which images come in, as one call each: files in, and out what the model is given to see."""

import base64
import copy
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, Features, Image, List, Value
from trl import SFTConfig

from safe_llava import SafeLlavaForConditionalGeneration, SafeLlavaForSafetyClassification, SafeLlavaProcessor
from safe_llava.audit import SourceSpec, read_verdicts, run_audit
from safe_llava.calibration import collect_logits
from safe_llava.data.encoded_images import keep_images_encoded
from safe_llava.inference import answer_dataset, ask
from safe_llava.models.safety_texts import NEUTRAL_QUESTION
from safe_llava.training import SafeDataCollator, SafeSFTTrainer


ENTRANCES = (
    *("by_classification", "by_chat", "by_prompt", "by_guard", "by_audit", "by_asking", "by_answering"),
    *("by_calibration", "by_training", "by_collating", "by_benchmark"),
)


@dataclass
class Entered:
    """
    What an entrance makes of images.

    Args:
        pixels (`list[torch.Tensor]`): what the vision tower is given, or would be.
        levels (`list[list[float]]`): probabilities of the levels, where the entrance assesses.
    """

    pixels: list[torch.Tensor]
    levels: list[list[float]] = field(default_factory=list)


@dataclass
class Entrances:
    """
    Each method takes the files of images, in the order of their names.

    Args:
        checkpoint (`str`): folder of `model` and `processor`.
        model, processor, guard, classify, converse: a tiny SafeLLaVA, its guard and its pipelines.
        work_dir (`Path`): an empty folder.
        seen (`list[torch.Tensor]`): gets what any vision tower looks at.
    """

    checkpoint: str
    model: SafeLlavaForConditionalGeneration
    processor: SafeLlavaProcessor
    guard: SafeLlavaForSafetyClassification
    classify: Any
    converse: Any
    work_dir: Path
    seen: list[torch.Tensor]

    def by_classification(self, paths: list[Path]) -> Entered:
        return Entered(self.seen, [list(self.classify(str(path))["level_probs"].values()) for path in paths])

    def by_chat(self, paths: list[Path]) -> Entered:
        for path in paths:
            self.converse(text=user({"type": "image", "path": str(path)}), max_new_tokens=1)
        return Entered(self.seen)

    def by_prompt(self, paths: list[Path]) -> Entered:
        for path in paths:
            self.converse(images=str(path), text="USER: <image>\nWho? ASSISTANT:", max_new_tokens=1)
        return Entered(self.seen)

    def by_guard(self, paths: list[Path]) -> Entered:
        return Entered(self.seen, self.guard.assess(**encode_chats(self.processor, paths)).level_probs.tolist())

    def by_audit(self, paths: list[Path]) -> Entered:
        folder = self.work_dir / "audited"
        folder.mkdir()
        for path in paths:
            shutil.copy(path, folder)
        run_audit(
            SourceSpec(str(folder)), self.checkpoint, self.work_dir / "audit", device="cpu", batch_size=1, workers=1
        )
        rows = read_verdicts(self.work_dir / "audit" / "verdicts").to_pylist()
        if reasons := [row["reason"] for row in rows if row["reason"]]:
            raise ValueError("; ".join(reasons))
        return Entered(self.seen, [[row[name] for name in row if name.startswith("level_prob_")] for row in rows])

    def by_asking(self, paths: list[Path]) -> Entered:
        answers = [ask(self.model, self.processor, NEUTRAL_QUESTION, [path], max_new_tokens=1) for path in paths]
        return Entered(self.seen, [list(answer.verdict["level_probs"].values()) for answer in answers])

    def by_answering(self, paths: list[Path]) -> Entered:
        answers = answer_dataset(self.model, self.processor, to_dataset(paths), batch_size=8, max_new_tokens=1)
        return Entered(self.seen, [answer["level_probs"] for answer in answers])

    def by_calibration(self, paths: list[Path]) -> Entered:
        logits = torch.tensor(collect_logits(self.model, self.processor, to_dataset(paths))["level_logits"])
        return Entered(self.seen, logits.softmax(dim=-1).tolist())

    def by_training(self, paths: list[Path]) -> Entered:
        args = SFTConfig(
            self.work_dir / "trained", max_length=None, report_to=[], use_cpu=True, per_device_eval_batch_size=8
        )
        dataset = to_dataset(paths)
        trainer = SafeSFTTrainer(copy.deepcopy(self.model), args, dataset, self.processor, eval_dataset=dataset)
        return Entered([image for batch in trainer.get_eval_dataloader() for image in batch["pixel_values"].cpu()])

    def by_collating(self, paths: list[Path]) -> Entered:
        rows = [{**row, "images": [str(path)]} for row, path in zip(keep_images_encoded(to_dataset(paths)), paths)]
        return Entered(list(SafeDataCollator(self.processor)(rows)["pixel_values"]))

    def by_benchmark(self, paths: list[Path]) -> Entered:
        pytest.importorskip("inspect_ai")
        from inspect_ai.model import ContentImage

        from safe_llava.evaluation.benchmarks.benchmark_row import BenchmarkRow
        from safe_llava.evaluation.inspect.chat import to_conversation
        from safe_llava.evaluation.inspect.inspect_samples import to_sample
        from safe_llava.evaluation.inspect.local_model import LocalModel

        local = LocalModel(self.checkpoint, device="cpu")
        read: list[torch.Tensor] = []
        for path in paths:
            (message,) = to_sample(BenchmarkRow("1", NEUTRAL_QUESTION, (path,), False), "benchmark", "test").input
            for part in message.content:
                # As inspect does before it calls a provider.
                if isinstance(part, ContentImage) and not part.image.startswith("data:"):
                    part.image = to_data_url(Path(part.image).read_bytes())
            read += local.read(to_conversation([message])).images["pixel_values"]
        return Entered(read)


def to_dataset(paths: list[Path]) -> Dataset:
    features = {
        "messages": List({"role": Value("string"), "content": Value("string")}),
        "images": List(Image()),
        "safety_level": Value("int64"),
        "safety_type": Value("int64"),
    }
    messages = [{"role": "user", "content": NEUTRAL_QUESTION}, {"role": "assistant", "content": "A circle."}]
    rows = [
        # Half of them as files, half as bytes.
        {"messages": messages, "images": [{"path": str(path), "bytes": path.read_bytes() if number % 2 else None}]}
        | {"safety_level": 0, "safety_type": 6}
        for number, path in enumerate(paths)
    ]
    return Dataset.from_list(rows, features=Features(features))


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*parts, {"type": "text", "text": NEUTRAL_QUESTION}]}]


def encode_chats(processor: Any, images: list[Any]) -> Any:
    return processor.apply_chat_template(
        [user({"type": "image", "image": image}) for image in images],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True},
    )


def to_data_url(encoded: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(encoded).decode()}"
