"""Whatever file comes in, what comes out is what a person would see, or the reason why nothing does."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from safe_llava.models.image_reading import UnreadableImageError, read_image


RED = (200, 30, 40)


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format=format, **options)
    return file.getvalue()


def color_of(source) -> tuple[int, int, int]:
    image = read_image(source).image
    assert image.mode == "RGB"
    return image.getpixel((4, 4))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK"])
def test_every_mode_shows_its_color(mode):
    format = "TIFF" if mode == "CMYK" else "PNG"
    image = Image.new("RGB", (16, 16), RED)
    image = image.quantize(4) if mode == "P" else image.convert(mode)
    shown = color_of(encoded(image, format))
    assert np.abs(np.subtract(shown, RED)).max() <= 6


def test_sixteen_bits_are_scaled_and_not_clipped():
    gray = Image.fromarray(np.full((16, 16), 40_000, dtype=np.uint16))
    assert color_of(encoded(gray)) == (156, 156, 156)


def test_transparency_is_seen_on_white():
    assert color_of(encoded(Image.new("RGBA", (16, 16), (*RED, 0)))) == (255, 255, 255)


def test_a_image_is_turned_upright():
    image = Image.new("RGB", (20, 10), RED)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_image(encoded(image, "JPEG", exif=exif)).image.size == (10, 20)


def test_of_an_animation_the_first_frame_is_taken_and_said_so():
    frames = [Image.new("RGB", (16, 16), color) for color in (RED, "blue", "green")]
    loaded = read_image(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert loaded.notes == ("first of 3 frames",)
    assert np.abs(np.subtract(loaded.image.getpixel((4, 4)), RED)).max() <= 6


def test_a_wrong_name_is_noted_and_the_contents_are_read(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(Image.new("RGB", (16, 16), RED)))
    assert read_image(path).notes == ("named .jpg but PNG",)
    assert color_of(path) == RED


def test_a_sound_image_has_no_notes(tmp_path):
    path = tmp_path / "photo.JPG"
    path.write_bytes(encoded(Image.new("RGB", (16, 16), RED), "JPEG"))
    assert read_image(path).notes == ()


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_a_image_that_is_cut_off_is_refused(format):
    noise = Image.effect_noise((64, 64), 80).convert("RGB")
    whole = encoded(noise, format)
    with pytest.raises(UnreadableImageError) as caught:
        read_image(whole[: len(whole) // 2])
    assert caught.value.kind == "cut off"


def test_what_is_no_image_is_refused_by_name(tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("not a picture")
    with pytest.raises(UnreadableImageError, match="notes") as caught:
        read_image(path)
    assert caught.value.kind == "not a picture"


def test_postscript_is_not_run(tmp_path):
    path = tmp_path / "drawing.eps"
    Image.new("RGB", (16, 16), RED).save(path)
    with pytest.raises(UnreadableImageError, match=r"drawing\.eps"):
        read_image(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(UnreadableImageError) as caught:
        read_image(tmp_path / "nothing.png")
    assert caught.value.kind == "missing"


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_refused_before_it_is_decoded():
    header = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 0, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(UnreadableImageError, match="12000 x 12000"):
        read_image(bomb)
