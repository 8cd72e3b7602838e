"""The same image gives the same pixels, whatever it comes as."""

import base64
import functools
import http.server
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from entering import to_data_url, to_dataset
from image_containers import GRAYS
from PIL import Image as PILImage

from safe_llava.models.image_reading import UnreadableImageError, read_image


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
