"""The same image gets the same verdict, whatever container it lies in and wherever it enters."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from entering import CONTAINERS, ENTRANCES, encode_chats
from image_containers import COLORS, Container
from PIL import EpsImagePlugin
from PIL import Image as PILImage

from safe_llava.models import image_reading
from safe_llava.models.image_reading import UnreadableImageError, read_image


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
