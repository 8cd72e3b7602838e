"""Every entrance that an image can take, and what the model then sees of it."""

import copy
import functools
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from entering import CONTAINERS, encode_chats, to_data_url, to_dataset, user
from PIL import Image as PILImage
from transformers import CLIPVisionModel, pipeline
from trl import SFTConfig

from safe_llava import SafeLlavaForSafetyClassification
from safe_llava.audit import SourceSpec, read_verdicts, run_audit
from safe_llava.calibration import collect_logits
from safe_llava.data.encoded_images import keep_images_encoded
from safe_llava.inference import answer_dataset, ask
from safe_llava.models.pipeline_safe_llava import NEUTRAL_QUESTION
from safe_llava.training import SafeDataCollator, SafeSFTTrainer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("containers")
    for container in CONTAINERS:
        (folder / container.name).write_bytes(container.encoded)
    return folder


@pytest.fixture(scope="module")
def checkpoint(tiny_safe_llava, tiny_processor, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_safe_llava.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def classify(checkpoint: str) -> Any:
    return pipeline("safety-classification", model=checkpoint, device="cpu")


@pytest.fixture(scope="module")
def converse(checkpoint: str) -> Any:
    return pipeline("image-text-to-text", model=checkpoint, device="cpu")


@pytest.fixture(scope="module")
def guard(checkpoint: str) -> SafeLlavaForSafetyClassification:
    return SafeLlavaForSafetyClassification.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def local_model(checkpoint: str) -> Any:
    pytest.importorskip("inspect_ai")
    from safe_llava.evaluation.inspect.local_model import LocalModel

    return LocalModel(checkpoint, device="cpu")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """What any vision tower has looked at, image by image."""
    images: list[torch.Tensor] = []
    forward = CLIPVisionModel.forward

    @functools.wraps(forward)
    def look(self, pixel_values: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        images.extend(pixel_values.detach().clone())
        return forward(self, pixel_values, *args, **kwargs)

    monkeypatch.setattr(CLIPVisionModel, "forward", look)
    return images


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


Enter = Callable[[list[Path]], Entered]


@pytest.fixture
def entrances(
    classify, converse, guard, tiny_safe_llava, tiny_processor, checkpoint, request, tmp_path, seen
) -> dict[str, Enter]:
    """Each takes the files of images."""

    def by_classification(paths: list[Path]) -> Entered:
        return Entered(seen, [list(classify(str(path))["level_probs"].values()) for path in paths])

    def by_chat(paths: list[Path]) -> Entered:
        for path in paths:
            converse(text=user({"type": "image", "path": str(path)}), max_new_tokens=1)
        return Entered(seen)

    def by_prompt(paths: list[Path]) -> Entered:
        for path in paths:
            converse(images=str(path), text="USER: <image>\nWho? ASSISTANT:", max_new_tokens=1)
        return Entered(seen)

    def by_guard(paths: list[Path]) -> Entered:
        return Entered(seen, guard.assess(**encode_chats(tiny_processor, paths)).level_probs.tolist())

    def by_audit(paths: list[Path]) -> Entered:
        folder = tmp_path / "audited"
        folder.mkdir()
        for path in paths:
            shutil.copy(path, folder)
        run_audit(SourceSpec(str(folder)), checkpoint, tmp_path / "audit", device="cpu", batch_size=1, workers=1)
        rows = read_verdicts(tmp_path / "audit" / "verdicts").to_pylist()
        if reasons := [row["reason"] for row in rows if row["reason"]]:
            raise ValueError("; ".join(reasons))
        return Entered(seen, [[row[name] for name in row if name.startswith("level_prob_")] for row in rows])

    def by_asking(paths: list[Path]) -> Entered:
        answers = [ask(tiny_safe_llava, tiny_processor, NEUTRAL_QUESTION, [path], max_new_tokens=1) for path in paths]
        return Entered(seen, [list(answer.verdict["level_probs"].values()) for answer in answers])

    def by_answering(paths: list[Path]) -> Entered:
        answers = answer_dataset(tiny_safe_llava, tiny_processor, to_dataset(paths), batch_size=8, max_new_tokens=1)
        return Entered(seen, [answer["level_probs"] for answer in answers])

    def by_calibration(paths: list[Path]) -> Entered:
        logits = torch.tensor(collect_logits(tiny_safe_llava, tiny_processor, to_dataset(paths))["level_logits"])
        return Entered(seen, logits.softmax(dim=-1).tolist())

    def by_training(paths: list[Path]) -> Entered:
        args = SFTConfig(
            tmp_path / "trained", max_length=None, report_to=[], use_cpu=True, per_device_eval_batch_size=8
        )
        dataset = to_dataset(paths)
        trainer = SafeSFTTrainer(copy.deepcopy(tiny_safe_llava), args, dataset, tiny_processor, eval_dataset=dataset)
        return Entered([image for batch in trainer.get_eval_dataloader() for image in batch["pixel_values"].cpu()])

    def by_collating(paths: list[Path]) -> Entered:
        rows = [{**row, "images": [str(path)]} for row, path in zip(keep_images_encoded(to_dataset(paths)), paths)]
        return Entered(list(SafeDataCollator(tiny_processor)(rows)["pixel_values"]))

    def by_benchmark(paths: list[Path]) -> Entered:
        local = request.getfixturevalue("local_model")
        from inspect_ai.model import ContentImage

        from safe_llava.evaluation.benchmarks.benchmark_row import BenchmarkRow
        from safe_llava.evaluation.inspect.chat import to_conversation
        from safe_llava.evaluation.inspect.inspect_samples import to_sample

        read: list[torch.Tensor] = []
        for path in paths:
            (message,) = to_sample(BenchmarkRow("1", NEUTRAL_QUESTION, (path,), False), "benchmark", "test").input
            for part in message.content:
                # As inspect does before it calls a provider.
                if isinstance(part, ContentImage) and not part.image.startswith("data:"):
                    part.image = to_data_url(Path(part.image).read_bytes())
            read += local.read(to_conversation([message])).pixel_values
        return Entered(read)

    return {name: enter for name, enter in locals().items() if name.startswith("by_")}


@pytest.fixture(scope="module")
def pixels_of(tiny_processor) -> Callable[[PILImage.Image], torch.Tensor]:
    return lambda image: tiny_processor.image_processor(image, return_tensors="pt")["pixel_values"][0]
