"""The same image gets the same verdict, whatever container it lies in and wherever it enters."""

import base64
import functools
import http.server
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_containers import COLORS, GRAYS, Container, containers
from image_entrances import ENTRANCES, Entered, Entrances, encode_chats, to_data_url, to_dataset
from PIL import EpsImagePlugin
from PIL import Image as PILImage
from transformers import CLIPVisionModel, pipeline

from safe_llava import SafeLlavaForSafetyClassification
from safe_llava.models import image_reading
from safe_llava.models.image_reading import UnreadableImageError, read_image
from safe_llava.models.safety_known_answers import draw_patterns


CONTAINERS = containers()


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


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """What any vision tower has looked at, image by image."""
    images: list[torch.Tensor] = []
    forward, probes = CLIPVisionModel.forward, draw_patterns(3, 30)

    @functools.wraps(forward)
    def look(self, pixel_values: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        # Before its first verdict a model looks at patterns that are no images.
        is_probe = pixel_values.shape == probes.shape and torch.equal(pixel_values, probes)
        images.extend([] if is_probe else pixel_values.detach().clone())
        return forward(self, pixel_values, *args, **kwargs)

    monkeypatch.setattr(CLIPVisionModel, "forward", look)
    return images


@pytest.fixture
def enter(
    entrance, checkpoint, tiny_safe_llava, tiny_processor, guard, classify, converse, tmp_path, seen
) -> Callable[[list[Path]], Entered]:
    """The entrance of this test."""
    entrances = Entrances(checkpoint, tiny_safe_llava, tiny_processor, guard, classify, converse, tmp_path, seen)
    return getattr(entrances, entrance)


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
def test_every_entrance_sees_and_assesses_every_container_alike(enter, folder, pixels_of, guard, tiny_processor):
    entered = enter([folder / container.name for container in CONTAINERS])
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
def test_no_entrance_runs_a_program_on_an_image(enter, classify, tiny_processor, tmp_path, monkeypatch):
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
        enter([drawing])
    for take in (read_image, classify, lambda image: tiny_processor(images=image, text="<image>")):
        with pytest.raises(UnreadableImageError, match="EPS"):
            take(PILImage.open(drawing))
    assert not called.exists()
    with pytest.raises(OSError):  # What it would have been called by.
        PILImage.open(drawing).load()
    assert called.exists()


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_no_entrance_decodes_what_is_too_large(enter, folder, monkeypatch):
    monkeypatch.setattr(image_reading, "MAX_PIXELS", COLORS.width * COLORS.height - 1)
    with pytest.raises(ValueError, match="40 x 30 pixels; at most 1199"):
        enter([folder / "rgb-8.png"])


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
