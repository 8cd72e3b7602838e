"""Whatever file comes in, what comes out is what a person would see, or the reason why nothing does."""

import base64
import io
import struct

import numpy as np
import pytest
import torch
from image_containers import chunk, swap_red_and_blue, write_png
from PIL import Image, ImageCms, ImageDraw

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


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64, np.float32, np.float64])
def test_arrays_of_more_bits_give_what_eight_bits_give(dtype):
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    expected = np.asarray(read_image(gray).image)
    for scale in (1, 257):
        assert np.array_equal(read_image(gray.astype(dtype) * dtype(scale)).image, expected)
    assert np.array_equal(read_image((gray.astype(np.uint32) * 4095 // 255).astype(dtype)).image, expected)


def test_a_dark_image_of_sixteen_bits_is_not_taken_for_twelve():
    dark = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert np.array_equal(read_image(dark.astype(np.uint16) * 257).image, read_image(dark).image)


def test_floats_to_one_are_scaled_by_255():
    assert read_image(np.full((16, 16), 0.5)).image.getpixel((4, 4)) == (128, 128, 128)


def test_other_ranges_go_from_black_to_white():
    values = np.linspace(-3.0, 7.0, 256).reshape(16, 16)
    assert np.array_equal(np.asarray(read_image(values).image)[..., 0].ravel(), np.arange(256))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value):
    values = np.full((16, 16), 0.5, dtype=np.float32)
    values[3, 5] = value
    for source in (values, torch.tensor(values), Image.fromarray(values), encoded(Image.fromarray(values), "TIFF")):
        with pytest.raises(UnreadableImageError, match="NaN or infinity") as caught:
            read_image(source)
        assert caught.value.kind == "broken"


def test_of_two_dimensions_that_could_be_channels_arrays_have_them_last_and_tensors_first():
    pixels = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)
    assert read_image(pixels).image.size == (5, 3)
    assert read_image(torch.tensor(pixels)).image.size == (3, 5)


@pytest.mark.parametrize("shape", [(5,), (5, 6, 7), (2, 16, 16, 3), (0, 4, 3)])
def test_an_array_of_no_images_shape_is_refused(shape):
    with pytest.raises(UnreadableImageError, match="shape") as caught:
        read_image(np.zeros(shape, dtype=np.uint8))
    assert caught.value.kind == "not an image"


def test_what_could_never_be_an_image_is_a_wrong_type():
    with pytest.raises(TypeError, match="got int"):
        read_image(7)


def test_a_string_that_is_nothing_is_said_to_be_missing():
    for text in ("no-such-file.png", base64.b64encode(b"no image " * 40).decode()):
        with pytest.raises(UnreadableImageError, match="neither a file nor an image in base64") as caught:
            read_image(text)
        assert caught.value.kind == "missing"
        assert len(str(caught.value)) < 160


def test_an_image_that_was_read_is_not_read_again():
    image = read_image(encoded(Image.new("RGB", (16, 16), RED), "JPEG")).image
    assert read_image(image).image is image


def test_reading_leaves_the_callers_image_alone():
    image = Image.new("RGBA", (16, 16), (*RED, 128))
    image.info["icc_profile"] = b"broken"
    before = image.tobytes()
    read_image(image)
    assert (image.mode, image.tobytes(), image.info) == ("RGBA", before, {"icc_profile": b"broken"})


def test_a_profile_is_applied():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.new("RGB", (16, 16), RED)
    assert color_of(encoded(image, icc_profile=srgb)) == RED
    red, _, blue = color_of(encoded(image, icc_profile=swap_red_and_blue(srgb)))
    assert blue > 180 > 60 > red


def test_gamma_is_applied_as_browsers_do():
    pixels = np.full((16, 16, 3), 128)
    bright = write_png(pixels, 2, 8, False, chunk(b"gAMA", struct.pack(">I", 22_727)))
    same = write_png(pixels, 2, 8, False, chunk(b"gAMA", struct.pack(">I", 45_455)))
    assert color_of(same) == (128, 128, 128)
    assert color_of(bright) == (64, 64, 64)


HIDDEN = "transparent parts hide other content"


@pytest.mark.parametrize(
    ("hidden", "alpha", "notes"),
    [
        ([RED], 0, (HIDDEN,)),
        ([RED], 30, (HIDDEN,)),
        ([(255, 255, 255), (0, 0, 0)], 0, (HIDDEN,)),  # White on black.
        ([(0, 0, 0)], 0, ()),  # What programs leave where nothing was drawn.
        ([(255, 255, 255)], 0, ()),
        ([RED], 255, ()),
        ([RED], 128, ()),  # It shows.
    ],
)
@pytest.mark.parametrize("format", ["PNG", "WEBP", None])
def test_what_transparency_hides_is_noted(hidden, alpha, notes, format):
    image = Image.new("RGBA", (32, 32), "green")
    for place, color in enumerate(hidden):
        image.paste((*color, alpha), (8 * place, 0, 8 * place + 8, 32))
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    assert read_image(image if format is None else encoded(image, format, **options)).notes == notes


def test_the_seam_of_a_cut_out_hides_nothing():
    image = Image.new("RGBA", (200, 200))
    ImageDraw.Draw(image).ellipse((20, 20, 180, 180), RED)
    image = image.resize((100, 100), Image.Resampling.LANCZOS)
    assert read_image(encoded(image)).notes == ()


def test_a_transparent_palette_entry_hides_nothing():
    image = Image.new("P", (16, 16), 1)
    image.putpalette([*RED, 0, 0, 255])
    image.paste(0, (0, 0, 8, 16))
    for format in ("PNG", "GIF"):
        loaded = read_image(encoded(image, format, transparency=0))
        assert loaded.notes == ()
        assert loaded.image.getpixel((4, 4)) == (255, 255, 255)
        assert loaded.image.getpixel((12, 4)) == (0, 0, 255)


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


def test_an_opened_animation_is_seen_at_the_frame_where_it_stands():
    frames = [Image.new("RGB", (16, 16), color) for color in (RED, "blue", "green")]
    opened = Image.open(io.BytesIO(encoded(frames[0], "WEBP", lossless=True, save_all=True, append_images=frames[1:])))
    opened.seek(1)
    loaded = read_image(opened)
    assert loaded.notes == ("frame 2 of 3",)
    assert loaded.image.getpixel((4, 4)) == (0, 0, 255)


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
    path.write_text("a text")
    with pytest.raises(UnreadableImageError, match="notes") as caught:
        read_image(path)
    assert caught.value.kind == "not an image"


@pytest.mark.parametrize(
    "format, kind", [("PDF", "format not read"), ("MSP", "format not read"), ("SPIDER", "not an image")]
)
def test_only_formats_that_are_named_are_decoded(format, kind):
    image = Image.new({"PDF": "RGB", "MSP": "1", "SPIDER": "F"}[format], (16, 16))
    source = encoded(image, format)
    with pytest.raises(UnreadableImageError) as caught:
        read_image(source)
    assert caught.value.kind == kind
    if format != "PDF":
        with pytest.raises(UnreadableImageError, match=f"the format {format}, which is not read"):
            read_image(Image.open(io.BytesIO(source)))


@pytest.mark.filterwarnings("ignore:Image was not the expected size")
def test_an_icon_is_measured_by_the_image_within():
    within = encoded(Image.new("RGB", (300, 300), RED))
    icon = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(within), 22) + within
    with pytest.raises(UnreadableImageError, match="300 x 300 pixels") as caught:
        read_image(icon, max_pixels=1000)
    assert caught.value.kind == "too large"


@pytest.mark.parametrize("source", [Image.new("RGB", (32, 32)), np.zeros((32, 32, 3)), torch.zeros(3, 32, 32)])
def test_images_in_memory_are_measured_too(source):
    with pytest.raises(UnreadableImageError, match="32 x 32 pixels; at most 1000"):
        read_image(source, max_pixels=1000)


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
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(UnreadableImageError, match="12000 x 12000"):
        read_image(bomb)
