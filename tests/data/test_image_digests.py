"""The same image is found again whatever file it stands in, and each file is decoded once."""

import threading

import pytest
from PIL import Image as PILImage
from set_rows import encode, make_image

from safe_llava.data import image_digests
from safe_llava.data.image_digests import ImageDigests
from safe_llava.models.image_reading import UnreadableImageError


IMAGE = make_image(1)
COPIES = {
    "png, other compression": encode(IMAGE, compress_level=0),
    "webp without loss": encode(IMAGE, "WEBP", lossless=True),
    "bmp": encode(IMAGE, "BMP"),
    "tiff": encode(IMAGE, "TIFF"),
    "opaque RGBA": encode(IMAGE.convert("RGBA")),
}


def digest(source, **options):
    digests = ImageDigests(**options)
    digests.read([source])
    return digests[source]


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copy_without_loss_has_the_same_digest(copy):
    assert digest(copy).pixels == digest(encode(IMAGE)).pixels


def test_another_pixel_is_another_image():
    other = IMAGE.copy()
    other.putpixel((0, 0), tuple(255 - value for value in IMAGE.getpixel((0, 0))))
    assert digest(encode(other)).pixels != digest(encode(IMAGE)).pixels


def test_the_same_pixels_in_another_shape_are_another_image():
    square, flat = (PILImage.new("RGB", size) for size in ((8, 8), (16, 4)))
    assert digest(encode(square)).pixels != digest(encode(flat)).pixels


def test_a_file_its_bytes_and_a_row_of_a_dataset_agree(tmp_path):
    (tmp_path / "other name").write_bytes(encode(IMAGE))
    sources = [tmp_path / "other name", encode(IMAGE), {"bytes": encode(IMAGE), "path": "x.png"}]
    sources += [str(sources[0]), {"bytes": None, "path": str(sources[0])}]
    assert len({digest(source) for source in sources}) == 1


def test_a_perceptual_hash_is_computed_where_it_is_asked_for():
    assert digest(encode(IMAGE)).perceptual is None
    assert len(digest(encode(IMAGE), perceptual=True).perceptual) == 16


def test_what_is_missing_for_perceptual_hashes_is_said_at_once(monkeypatch):
    monkeypatch.setattr(image_digests.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"safe-llava\[audit\]"):
        ImageDigests(perceptual=True)


def test_each_file_is_decoded_once_and_no_image_is_kept(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(encode(IMAGE))
    (tmp_path / "b.png").write_bytes(encode(make_image(2)))
    decoded = []
    lock = threading.Lock()

    def count(source):
        with lock:
            decoded.append(source)
        return read(source)

    read = image_digests.read_image
    monkeypatch.setattr(image_digests, "read_image", count)
    digests = ImageDigests()
    digests.read([tmp_path / "a.png", str(tmp_path / "a.png"), tmp_path / "b.png"])
    digests.read([tmp_path / "a.png"])
    assert len(decoded) == 2


def test_an_image_that_cannot_be_decoded_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(encode(IMAGE)[:-200])
    with pytest.raises(UnreadableImageError, match=r"a\.png"):
        ImageDigests().read([tmp_path / "a.png"])
