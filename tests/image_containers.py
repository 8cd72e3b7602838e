"""One drawing in every container, mode and depth that an image may come in."""

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms


SIZE = (40, 30)
ORIENTATION = 0x0112
# How a drawing must lie in a file so that it is upright once its orientation is heeded.
TURNED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class Container:
    """
    A drawing in a file.

    Args:
        name (`str`): file name.
        encoded (`bytes`): its contents.
        shows (`PIL.Image.Image`, *optional*): the drawing to its last pixel; `None` where the container loses some.
    """

    name: str
    encoded: bytes
    shows: Image.Image | None


def draw(colors: list[tuple[int, int, int]]) -> Image.Image:
    """Unequal rectangles, so that every turn and every swap of colours shows."""
    pixels = np.empty((SIZE[1], SIZE[0], 3), dtype=np.uint8)
    pixels[:] = colors[0]
    pixels[4:18, 8:20] = colors[1 % len(colors)]
    pixels[12:28, 16:34] = colors[2 % len(colors)]
    pixels[20:26, 6:12] = colors[3 % len(colors)]
    return Image.fromarray(pixels)


COLORS = draw([(255, 255, 255), (200, 30, 40), (20, 90, 220), (240, 200, 0)])
GRAYS = draw([(255,) * 3, (85,) * 3, (170,) * 3, (0,) * 3])
BLACK_AND_WHITE = draw([(255,) * 3, (0,) * 3])


def encode(image: Image.Image, file_format: str, **options) -> bytes:
    file = io.BytesIO()
    image.copy().save(file, format=file_format, **options)  # Pillow leaves settings of one format for the next.
    return file.getvalue()


def write_png(rows: np.ndarray, color_type: int, depth: int, interlaced: bool, extra: bytes = b"") -> bytes:
    """Any PNG that there is, of `rows` in the shape (height, width, samples); Pillow writes few of them."""

    def lines(image: np.ndarray) -> bytes:
        if 0 in image.shape:
            return b""
        samples = image.reshape(len(image), -1)
        if depth == 16:
            packed = samples.astype(">u2").view(np.uint8)
        elif depth == 8:
            packed = samples.astype(np.uint8)
        else:
            bits = (samples[..., None].astype(np.uint8) >> np.arange(depth - 1, -1, -1, dtype=np.uint8)) & 1
            packed = np.packbits(bits.reshape(len(samples), -1), axis=1)
        return b"".join(b"\0" + line.tobytes() for line in packed)

    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    parts = [rows[top::down, left::right] for top, left, down, right in passes] if interlaced else [rows]
    header = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], depth, color_type, 0, 0, int(interlaced))
    data = zlib.compress(b"".join(map(lines, parts)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def containers() -> list[Container]:
    """All of them, in the order of their names."""
    made = [*_raw_pngs(), *_lossless(), *_turned(), *_profiled(), *_animated(), *_deep(), *_lossy()]
    return sorted((Container(*container) for container in made), key=lambda container: container.name)


def _raw_pngs() -> Iterator[tuple[str, bytes, Image.Image]]:
    colors, grays, bits = (np.asarray(image) for image in (COLORS, GRAYS, BLACK_AND_WHITE))
    opaque = np.full((*colors.shape[:2], 1), 255, dtype=np.uint8)
    palette, indices = np.unique(colors.reshape(-1, 3), axis=0, return_inverse=True)
    indices = indices.reshape(*colors.shape[:2], 1)
    entries = chunk(b"PLTE", palette.tobytes())
    bit_entries, bit_indices = chunk(b"PLTE", bytes([0, 0, 0, 255, 255, 255])), bits[..., :1] // 255
    for interlaced in (False, True):
        end = "-interlaced.png" if interlaced else ".png"
        for depth in (1, 2, 4, 8, 16):
            drawing, samples = (BLACK_AND_WHITE, bits) if depth == 1 else (GRAYS, grays)
            gray = samples[..., :1].astype(np.uint32) * (2**depth - 1) // 255
            yield f"gray-{depth}{end}", write_png(gray, 0, depth, interlaced), drawing
        for depth, scale in ((8, 1), (16, 257)):
            scaled, alpha = colors.astype(np.uint32) * scale, opaque.astype(np.uint32) * scale
            gray = grays[..., :1].astype(np.uint32) * scale
            yield f"rgb-{depth}{end}", write_png(scaled, 2, depth, interlaced), COLORS
            yield f"rgba-{depth}{end}", write_png(np.dstack([scaled, alpha]), 6, depth, interlaced), COLORS
            yield f"gray-alpha-{depth}{end}", write_png(np.dstack([gray, alpha]), 4, depth, interlaced), GRAYS
        for depth in (2, 4, 8):
            yield f"palette-{depth}{end}", write_png(indices, 3, depth, interlaced, entries), COLORS
        yield f"palette-1{end}", write_png(bit_indices, 3, 1, interlaced, bit_entries), BLACK_AND_WHITE
    # White is transparent: as a palette entry, and as a colour.
    white = chunk(b"tRNS", b"\xff" * (len(palette) - 1) + b"\0")
    yield "palette-transparent.png", write_png(indices, 3, 8, False, entries + white), COLORS
    yield "rgb-key.png", write_png(colors, 2, 8, False, chunk(b"tRNS", b"\0\xff" * 3)), COLORS
    gray_key = write_png(grays[..., :1].astype(np.uint32) * 257, 0, 16, False, chunk(b"tRNS", b"\xff\xff"))
    yield "gray-16-key.png", gray_key, GRAYS


def _lossless() -> Iterator[tuple[str, bytes, Image.Image]]:
    palette = COLORS.quantize(8)
    rgba = COLORS.convert("RGBA")
    cut_out = rgba.copy()
    cut_out.putalpha(COLORS.convert("L").point([255] * 255 + [0]))
    yield "cut-out.png", encode(cut_out, "PNG"), COLORS
    yield "cut-out.tiff", encode(cut_out, "TIFF"), COLORS
    yield "cut-out.webp", encode(cut_out, "WEBP", lossless=True, exact=True), COLORS
    for name, image in (("rgb", COLORS), ("rgba", rgba), ("palette", palette)):
        yield f"{name}.bmp", encode(image, "BMP"), COLORS
        yield f"{name}.tga", encode(image, "TGA"), COLORS
        yield f"{name}-packed.tga", encode(image, "TGA", compression="tga_rle"), COLORS
    yield "gray.bmp", encode(GRAYS.convert("L"), "BMP"), GRAYS
    yield "bits.bmp", encode(BLACK_AND_WHITE.convert("1"), "BMP"), BLACK_AND_WHITE
    yield "rgb.dib", encode(COLORS, "DIB"), COLORS
    yield "plain.gif", encode(palette, "GIF", interlace=0), COLORS
    yield "interlaced.gif", encode(palette, "GIF", interlace=1), COLORS
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield f"rgb-{compression or 'raw'}.tiff", encode(COLORS, "TIFF", compression=compression), COLORS
    yield "palette.tiff", encode(palette, "TIFF"), COLORS
    yield "cmyk.tiff", encode(COLORS.convert("CMYK"), "TIFF"), COLORS
    yield "gray.tiff", encode(GRAYS.convert("L"), "TIFF"), GRAYS
    yield "gray-alpha.tiff", encode(GRAYS.convert("LA"), "TIFF"), GRAYS
    yield "white-is-zero.tiff", encode(GRAYS.convert("L"), "TIFF", tiffinfo={262: 0}), GRAYS
    yield "fax.tiff", encode(BLACK_AND_WHITE.convert("1"), "TIFF", compression="group4"), BLACK_AND_WHITE
    yield "lossless.webp", encode(COLORS, "WEBP", lossless=True), COLORS
    yield "lossless.jp2", encode(COLORS, "JPEG2000", irreversible=False), COLORS
    yield "gray.j2k", encode(GRAYS.convert("L"), "JPEG2000", irreversible=False, no_jp2=True), GRAYS
    yield "rgb.ico", encode(COLORS, "ICO", sizes=[SIZE]), COLORS
    yield "bitmap.ico", encode(rgba, "ICO", sizes=[SIZE], bitmap_format="bmp"), COLORS
    yield "rgb.pcx", encode(COLORS, "PCX"), COLORS
    yield "palette.pcx", encode(palette, "PCX"), COLORS
    yield "rgb.ppm", encode(COLORS, "PPM"), COLORS
    yield "bits.pbm", encode(BLACK_AND_WHITE.convert("1"), "PPM"), BLACK_AND_WHITE
    yield "rgb.qoi", encode(COLORS, "QOI"), COLORS
    yield "rgb.sgi", encode(COLORS, "SGI"), COLORS
    yield "rgb.dds", encode(COLORS, "DDS"), COLORS
    yield "bits.xbm", encode(BLACK_AND_WHITE.convert("1"), "XBM"), BLACK_AND_WHITE


def _turned() -> Iterator[tuple[str, bytes, Image.Image]]:
    for orientation, method in TURNED.items():
        stored = COLORS if method is None else COLORS.transpose(method)
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        yield f"turned-{orientation}.png", encode(stored, "PNG", exif=exif), COLORS
        yield f"turned-{orientation}.webp", encode(stored, "WEBP", lossless=True, exif=exif.tobytes()), COLORS
        yield f"turned-{orientation}.tiff", encode(stored, "TIFF", tiffinfo={ORIENTATION: orientation}), COLORS


def _profiled() -> Iterator[tuple[str, bytes, Image.Image | None]]:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, profile in (("srgb", srgb), ("broken", b"no profile"), ("cut-off", srgb[:200])):
        yield f"profile-{name}.png", encode(COLORS, "PNG", icc_profile=profile), COLORS
        yield f"profile-{name}.tiff", encode(COLORS, "TIFF", icc_profile=profile), COLORS
    swapped = swap_red_and_blue(srgb)
    yield "profile-swapped.png", encode(COLORS, "PNG", icc_profile=swapped), None
    yield "profile-swapped.jpg", encode(COLORS, "JPEG", icc_profile=swapped), None
    yield "profile-of-other-colors.png", encode(GRAYS.convert("L"), "PNG", icc_profile=srgb), GRAYS
    yield "gamma-of-srgb.png", write_png(np.asarray(COLORS), 2, 8, False, chunk(b"gAMA", _gamma(0.45455))), COLORS
    yield "gamma-other.png", write_png(np.asarray(COLORS), 2, 8, False, chunk(b"gAMA", _gamma(1.0))), None
    lab = ImageCms.profileToProfile(COLORS, io.BytesIO(srgb), ImageCms.createProfile("LAB"), outputMode="LAB")
    yield "lab.tiff", encode(lab, "TIFF"), None


def swap_red_and_blue(profile: bytes) -> bytes:
    """A profile in whose colours red is blue, by the tags of its primaries."""
    return profile.replace(b"rXYZ", b"?XYZ", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"?XYZ", b"bXYZ", 1)


def _gamma(value: float) -> bytes:
    return struct.pack(">I", round(value * 100_000))


def _animated() -> Iterator[tuple[str, bytes, Image.Image]]:
    options = {"save_all": True, "append_images": [GRAYS, BLACK_AND_WHITE]}
    yield "animated.png", encode(COLORS, "PNG", **options), COLORS
    hidden = {"save_all": True, "append_images": [COLORS, BLACK_AND_WHITE], "default_image": True}
    yield "animated-with-stand-in.png", encode(GRAYS, "PNG", **hidden), COLORS
    yield "animated.webp", encode(COLORS, "WEBP", lossless=True, **options), COLORS
    yield "animated.gif", encode(COLORS.quantize(8), "GIF", save_all=True, append_images=[GRAYS.quantize(8)]), COLORS
    yield "pages.tiff", encode(COLORS, "TIFF", **options), COLORS


def _deep() -> Iterator[tuple[str, bytes, Image.Image]]:
    grays = np.asarray(GRAYS)[..., 0]
    sixteen = grays.astype(np.uint16) * 257
    yield "deep-16.tiff", encode(Image.fromarray(sixteen), "TIFF"), GRAYS
    yield "deep-16.png", encode(Image.fromarray(sixteen), "PNG"), GRAYS
    yield "deep-16.jp2", encode(Image.fromarray(sixteen), "JPEG2000", irreversible=False), GRAYS
    yield "deep-16.pgm", encode(Image.fromarray(sixteen), "PPM"), GRAYS
    yield "deep-16-white-is-zero.tiff", encode(Image.fromarray(65535 - sixteen), "TIFF", tiffinfo={262: 0}), GRAYS
    big_endian = Image.frombytes("I;16B", SIZE, sixteen.astype(">u2").tobytes())
    yield "deep-16-big-endian.tiff", encode(big_endian, "TIFF"), GRAYS
    twelve = Image.fromarray((grays.astype(np.uint32) * 4095 // 255).astype(np.uint16))
    yield "deep-12.tiff", encode(twelve, "TIFF"), GRAYS
    yield "deep-12.png", encode(twelve, "PNG"), GRAYS
    integers = Image.fromarray(grays.astype(np.int32))
    yield "deep-32.tiff", encode(integers, "TIFF"), GRAYS
    below_zero = Image.fromarray(grays.astype(np.int32) * 1000 - 100_000)
    yield "deep-32-below-zero.tiff", encode(below_zero, "TIFF"), GRAYS
    for name, scale in (("one", 1 / 255), ("255", 1.0), ("65535", 257.0)):
        floats = Image.fromarray(grays.astype(np.float32) * np.float32(scale))
        yield f"float-to-{name}.tiff", encode(floats, "TIFF"), GRAYS
    yield "float-to-one.pfm", encode(Image.fromarray(grays.astype(np.float32) / 255), "PPM"), GRAYS


def _lossy() -> Iterator[tuple[str, bytes, None]]:
    for quality, progressive in itertools.product((40, 95), (False, True)):
        end = "-progressive.jpg" if progressive else ".jpg"
        yield f"quality-{quality}{end}", encode(COLORS, "JPEG", quality=quality, progressive=progressive), None
    yield "full-color.jpg", encode(COLORS, "JPEG", subsampling=0), None
    yield "gray.jpg", encode(GRAYS.convert("L"), "JPEG"), None
    yield "cmyk.jpg", encode(COLORS.convert("CMYK"), "JPEG"), None
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    yield "turned-6.jpg", encode(COLORS.transpose(TURNED[6]), "JPEG", exif=exif), None
    yield "lossy.webp", encode(COLORS, "WEBP", quality=60), None
    yield "lossy.avif", encode(COLORS, "AVIF"), None
    yield "lossy.jp2", encode(COLORS, "JPEG2000", irreversible=True, quality_layers=[4]), None
    yield "lossy.tiff", encode(COLORS, "TIFF", compression="jpeg"), None
