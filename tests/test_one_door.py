"""The same image gets the same verdict, whatever container it lies in and wherever it enters."""

import base64
import copy
import functools
import http.server
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Image, List, Value
from image_containers import COLORS, GRAYS, Container, containers
from PIL import EpsImagePlugin
from PIL import Image as PILImage
from transformers import CLIPVisionModel, pipeline
from trl import SFTConfig

from safe_llava import SafeLlavaForSafetyClassification
from safe_llava.audit import SourceSpec, read_verdicts, run_audit
from safe_llava.calibration import collect_logits
from safe_llava.data.encoded_images import keep_images_encoded
from safe_llava.inference import answer_dataset, ask
from safe_llava.models import image_reading
from safe_llava.models.image_reading import UnreadableImageError, read_image
from safe_llava.models.pipeline_safe_llava import NEUTRAL_QUESTION
from safe_llava.training import SafeDataCollator, SafeSFTTrainer


CONTAINERS = containers()


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*parts, {"type": "text", "text": NEUTRAL_QUESTION}]}]


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


def to_data_url(encoded: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(encoded).decode()}"


ENTRANCES = (
    *("by_classification", "by_chat", "by_prompt", "by_guard", "by_audit", "by_asking", "by_answering"),
    *("by_calibration", "by_training", "by_collating", "by_benchmark"),
)


@pytest.fixture(scope="module")
def pixels_of(tiny_processor) -> Callable[[PILImage.Image], torch.Tensor]:
    return lambda image: tiny_processor.image_processor(image, return_tensors="pt")["pixel_values"][0]


def test_there_are_more_than_sixty_containers():
    assert len({container.name for container in CONTAINERS if container.shows is not None}) > 100
    assert len({container.encoded for container in CONTAINERS}) > 120


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: container.name)
def test_what_a_container_keeps_is_read_to_the_last_pixel(container: Container, folder: Path):
    image = read_image(folder / container.name).image
    assert (image.mode, image.size) == ("RGB", COLORS.size)
    if container.shows is not None:
        assert np.array_equal(image, container.shows)
    assert read_image(image).image.tobytes() == image.tobytes()


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_every_entrance_sees_and_assesses_every_container_alike(
    entrance, entrances, folder, pixels_of, guard, tiny_processor
):
    entered = entrances[entrance]([folder / container.name for container in CONTAINERS])
    images = [container.shows or read_image(folder / container.name).image for container in CONTAINERS]
    assert len(entered.pixels) == len(CONTAINERS)
    differing = [
        container.name
        for container, pixels, image in zip(CONTAINERS, entered.pixels, images)
        if not torch.equal(pixels, pixels_of(image))
    ]
    assert not differing
    if entered.levels:
        expected = guard.assess(**encode_chats(tiny_processor, images)).level_probs
        torch.testing.assert_close(torch.tensor(entered.levels), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_no_entrance_runs_a_program_on_an_image(entrance, entrances, classify, tiny_processor, tmp_path, monkeypatch):
    programs, called = tmp_path / "bin", tmp_path / "called"
    programs.mkdir()
    for name in ("gs", "gswin64c"):
        (programs / name).write_text(f"#!/bin/sh\ntouch {called}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    drawing = tmp_path / "drawing.png"
    COLORS.save(drawing, format="EPS")
    with pytest.raises(ValueError, match="no image format that is read"):
        entrances[entrance]([drawing])
    for take in (read_image, classify, lambda image: tiny_processor(images=image, text="<image>")):
        with pytest.raises(UnreadableImageError, match="EPS"):
            take(PILImage.open(drawing))
    assert not called.exists()
    with pytest.raises(OSError):  # What it would have been called by.
        PILImage.open(drawing).load()
    assert called.exists()


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_no_entrance_decodes_what_is_too_large(entrance, entrances, folder, monkeypatch):
    monkeypatch.setattr(image_reading, "MAX_PIXELS", COLORS.width * COLORS.height - 1)
    with pytest.raises(ValueError, match="40 x 30 pixels; at most 1199"):
        entrances[entrance]([folder / "rgb-8.png"])


SOURCES: dict[str, Callable[[Path], Any]] = {
    "path": lambda path: path,
    "string": str,
    "bytes": Path.read_bytes,
    "base64": lambda path: base64.b64encode(path.read_bytes()).decode(),
    "wrapped base64": lambda path: base64.encodebytes(path.read_bytes()).decode(),
    "data URL": lambda path: to_data_url(path.read_bytes()),
    "row of bytes": lambda path: {"bytes": path.read_bytes(), "path": path.name},
    "row of a path": lambda path: {"bytes": None, "path": str(path)},
    "row of a dataset": lambda path: to_dataset([path])[0]["images"][0],
    "opened": PILImage.open,
    "decoded": lambda path: (image := PILImage.open(path)).load() and image,
    "copied": lambda path: PILImage.open(path).copy(),
    "array": lambda path: np.asarray(read_image(path).image),
    "array, channels first": lambda path: np.asarray(read_image(path).image).transpose(2, 0, 1),
    "floats": lambda path: np.asarray(read_image(path).image) / 255,
    "16 bits": lambda path: np.asarray(read_image(path).image).astype(np.uint16) * 257,
    "tensor": lambda path: torch.tensor(np.asarray(read_image(path).image)),
    "tensor, channels first": lambda path: torch.tensor(np.asarray(read_image(path).image)).permute(2, 0, 1),
    "tensor of floats": lambda path: torch.tensor(np.asarray(read_image(path).image)).permute(2, 0, 1) / 255,
}
NAMES = [
    *("rgb-16.png", "rgba-8-interlaced.png", "palette-transparent.png", "cut-out.png", "gray-16-key.png"),
    *(
        "turned-6.png",
        "profile-swapped.png",
        "deep-16.png",
        "float-to-one.tiff",
        "cmyk.jpg",
        "lab.tiff",
        "animated.gif",
    ),
    *(
        "turned-8.tiff",
        "animated-with-stand-in.png",
        "white-is-zero.tiff",
        "deep-16-white-is-zero.tiff",
        "gamma-other.png",
    ),
]
# Of these Pillow copies neither the frame that is shown nor that black is the largest value.
LOST_IN_COPIES = ("animated-with-stand-in.png", "deep-16-white-is-zero.tiff")


@pytest.mark.parametrize("kind", SOURCES)
def test_an_image_is_the_same_whatever_it_comes_as(kind, folder, tiny_processor, classify, pixels_of, seen):
    for name in NAMES:
        if kind == "copied" and name in LOST_IN_COPIES:
            continue
        expected = read_image(folder / name).image
        source = SOURCES[kind](folder / name)
        assert np.array_equal(read_image(source).image, expected), name
        assert torch.equal(
            tiny_processor(images=[[source]], text="<image>", return_tensors="pt")["pixel_values"][0],
            pixels_of(expected),
        ), name
    classify({"image": SOURCES[kind](folder / NAMES[0])})
    assert torch.equal(seen[-1], pixels_of(read_image(folder / NAMES[0]).image))


def test_an_image_is_fetched_from_the_web(folder, tiny_processor, classify, converse, pixels_of, seen):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/deep-16.png"
        classify(url)
        converse(images=url, text="<image>", max_new_tokens=1)
        converse(
            text=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}], max_new_tokens=1
        )
        with pytest.raises(UnreadableImageError, match="404"):
            classify(f"{url}.jpg")
        server.shutdown()
    assert len(seen) == 3
    assert all(torch.equal(image, pixels_of(GRAYS)) for image in seen)


def encode_chats(processor: Any, images: list[Any]) -> Any:
    return processor.apply_chat_template(
        [user({"type": "image", "image": image}) for image in images],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True},
    )
