"""What a file is: an image of a format that is read, one that is known and not read, or no image."""

import io
import os
import stat
from pathlib import Path

from PIL import Image, features


try:
    from pillow_heif import register_heif_opener
except ImportError:
    HEIF: tuple[str, ...] = ()
else:
    register_heif_opener()
    HEIF = ("HEIF",)

# Those that Pillow decodes by itself: no PostScript, which it hands to Ghostscript, and no containers that hold
# images among other things.
READ_FORMATS = (
    *("AVIF", "BMP", "DDS", "DIB", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000"),
    *("PCX", "PNG", "PPM", "PSD", "QOI", "SGI", "TIFF", "WEBP"),
    *HEIF,
)
# These have no mark to be known by, and are read only where the name says so.
FORMATS_BY_NAME = {".tga": "TGA", ".icb": "TGA", ".vda": "TGA", ".vst": "TGA", ".xbm": "XBM"}
# Pillow opens a JPEG with several images under this name.
FORMATS_OF_OPENED = (*READ_FORMATS, *FORMATS_BY_NAME.values(), "MPO")

HEAD_SIZE = 4096
"""Bytes at the beginning of a file that tell what it is."""
_RAW = "camera raw"
_SIGNATURES = (
    *((0, b"\x89PNG\r\n\x1a\n", "PNG"), (0, b"\xff\xd8\xff", "JPEG"), (0, b"GIF8", "GIF"), (8, b"WEBPVP8", "WEBP")),
    *((0, b"II*\0", "TIFF"), (0, b"MM\0*", "TIFF"), (0, b"II+\0", "TIFF"), (0, b"MM\0+", "TIFF")),
    *((0, b"8BPS", "PSD"), (0, b"DDS ", "DDS"), (0, b"qoif", "QOI"), (0, b"icns", "ICNS"), (0, b"\0\0\1\0", "ICO")),
    *((0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"), (0, b"\xff\x4f\xff\x51", "JPEG2000")),
    *((0, b"\xff\x0a", "JPEG XL"), (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"), (0, b"II\xbc\x01", "JPEG XR")),
    *((0, b"%!PS", "PostScript"), (0, b"\xc5\xd0\xd3\xc6", "PostScript"), (0, b"AT&TFORM", "DjVu")),
    *((0, b"PK\3\4", "ZIP archive"), (0, b"PK\5\6", "ZIP archive"), (0, b"7z\xbc\xaf\x27\x1c", "7z archive")),
    *((0, b"Rar!\x1a\7", "RAR archive"), (0, b"\x1f\x8b", "gzip archive"), (0, b"BZh", "bzip2 archive")),
    *((0, b"\xfd7zXZ\0", "xz archive"), (0, b"\x28\xb5\x2f\xfd", "Zstandard archive"), (257, b"ustar", "tar archive")),
    *((0, b"#?RADIANCE", "Radiance HDR"), (0, b"#?RGBE", "Radiance HDR"), (0, b"v/1\1", "OpenEXR")),
    *((128, b"DICM", "DICOM"), (0, b"SIMPLE  =", "FITS"), (0, b"gimp xcf", "XCF"), (20, b"GIMP", "GIMP brush")),
    *((0, b"FLIF", "FLIF"), (0, b"BPG\xfb", "BPG"), (0, b"SDPX", "DPX"), (0, b"XPDS", "DPX"), (0, b"\0\0\2\0", "CUR")),
    *((0, b"FUJIFILMCCD-RAW", _RAW), (0, b"IIU\0", _RAW), (0, b"IIRO", _RAW), (0, b"IIRS", _RAW)),
    *((0, b"BLP1", "BLP"), (0, b"BLP2", "BLP"), (0, b"\xb1\x68\xde\x3a", "DCX"), (0, b"/* XPM */", "XPM")),
    *((4, b"\x11\xaf", "FLI"), (4, b"\x12\xaf", "FLI"), (0, b"\xd7\xcd\xc6\x9a", "WMF"), (40, b" EMF", "EMF")),
    *((0, b"DanM", "MSP"), (0, b"LinS", "MSP"), (0, b"\x80\xe8\0\0", "PIXAR"), (0, b"\x59\xa6\x6a\x95", "SUN")),
    *((2048, b"PCD_", "PCD"), (0, b"P7 332", "XV thumbnail"), (0, b"FTEX", "FTEX"), (0, b"FTC\0", "FTEX")),
)
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "HEIC"),
    **dict.fromkeys((b"mif1", b"msf1"), "HEIC"),
    b"crx ": _RAW,
}
_SUFFIXES_OF = {
    "HEIC": ".heic .heif .hif .heics .heifs",
    _RAW: ".cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .dng .orf .rw2 .raf .pef .srw .x3f .3fr .iiq .erf .kdc .mrw",
    "AVIF": ".avif .avifs",
    "JPEG XL": ".jxl",
    "JPEG XR": ".jxr .wdp .hdp",
    "SVG": ".svg .svgz",
    "PDF": ".pdf",
    "PostScript": ".eps .ps",
    "Illustrator": ".ai",
    "Radiance HDR": ".hdr",
    "OpenEXR": ".exr",
    "DICOM": ".dcm",
    "XCF": ".xcf",
    "DjVu": ".djvu .djv",
    "FLIF": ".flif",
    "BPG": ".bpg",
    "DPX": ".dpx",
    "Cineon": ".cin",
    "PSB": ".psb",
    "Krita": ".kra",
    "FPX": ".fpx",
    "MIC": ".mic",
    "ANI": ".ani",
    "XWD": ".xwd",
    "PICT": ".pict",
    "ZIP archive": ".zip .cbz",
    "7z archive": ".7z",
    "RAR archive": ".rar .cbr",
    "tar archive": ".tar .tgz .tbz2 .txz .tzst",
    "gzip archive": ".gz",
    "bzip2 archive": ".bz2",
    "xz archive": ".xz",
    "Zstandard archive": ".zst",
}
_SUFFIXES = {suffix: name for name, suffixes in _SUFFIXES_OF.items() for suffix in suffixes.split()}
# As it is now: whatever is saved as SPIDER later makes Pillow take the file's suffix for one of SPIDER.
_PILLOW_SUFFIXES = dict(Image.registered_extensions())
# Pillow has names for these, and they are videos and tables.
_NO_IMAGES = ("MPEG", "HDF5", "GRIB", "BUFR")


def formats_for(path: Path | None) -> tuple[str, ...]:
    """The formats of Pillow that a file of this name is tried for."""
    named = None if path is None else FORMATS_BY_NAME.get(path.suffix.lower())
    return READ_FORMATS if named is None else (*READ_FORMATS, named)


def pillow_format_of_name(path: str | os.PathLike) -> str | None:
    """The format that Pillow saves under a file's name; `None` where it knows none."""
    return _PILLOW_SUFFIXES.get(Path(path).suffix.lower())


def is_image_name(path: str | os.PathLike) -> bool:
    """Whether a file is named like an image that is read."""
    return pillow_format_of_name(path) in formats_for(Path(path))


def is_image_file(source: str | os.PathLike | bytes) -> bool:
    """Whether a file or its bytes can be opened as an image that is read, whatever its name."""
    path = None if isinstance(source, bytes) else Path(source)
    try:
        if path is not None and not is_regular(path):
            return False
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats_for(path)):
            return True
    except Exception:  # Pillow's decoders raise whatever type fits their format.
        return False


def is_regular(path: str | os.PathLike) -> bool:
    """
    Whether a path is a file that can be read to an end, or a link to one. It is not opened, for a pipe would wait.

    Raises:
        OSError: if nothing is there.
    """
    return stat.S_ISREG(os.stat(path).st_mode)


def read_head(path: str | os.PathLike) -> bytes:
    """The bytes that [`format_of_head`] looks at."""
    with open(path, "rb") as file:
        return file.read(HEAD_SIZE)


def format_of_head(head: bytes) -> str | None:
    """
    The format that a file begins as, of those that have a mark to be known by: images that are read, images that are
    not, drawings, documents and archives that may hold images.

    Args:
        head (`bytes`): the first [`HEAD_SIZE`] bytes.

    Returns:
        `str`, *optional*: such as "PNG", "JPEG XL" or "ZIP archive".
    """
    for offset, mark, name in _SIGNATURES:
        if head.startswith(mark, offset):
            return name
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":
        return "BMP"
    if head[4:8] == b"ftyp":
        brands = head[8 : min(max(int.from_bytes(head[:4], "big"), 12), 256)]
        found = {_BRANDS.get(brands[place : place + 4]) for place in (0, *range(8, len(brands), 4))}
        return next((name for name in ("AVIF", "HEIC", _RAW) if name in found), None)
    if b"%PDF-" in head[:1024]:
        return "PDF"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<svg") or (text.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text):
        return "SVG"
    return None


def format_of_name(path: str | os.PathLike) -> str | None:
    """The format that a file is named for, as in [`format_of_head`]."""
    named = _SUFFIXES.get(Path(path).suffix.lower()) or pillow_format_of_name(path)
    return None if named in _NO_IMAGES else named


def is_archive(name: str | None) -> bool:
    """Whether [`format_of_head`] or [`format_of_name`] names an archive or a document."""
    return name is not None and (name.endswith("archive") or name in ("PDF", "PostScript", "Illustrator"))


def why_not_read(head: bytes, path: Path | None) -> str | None:
    """
    Names the format of what cannot be opened as an image, with what helps where something does.

    Args:
        head (`bytes`): its first [`HEAD_SIZE`] bytes.
        path (`Path`, *optional*): its name.

    Returns:
        `str`, *optional*: `None` where it is of no known format, or of one that is read.
    """
    name = format_of_head(head) or (None if path is None else format_of_name(path))
    if is_camera_raw(path):
        return _RAW
    if name == "HEIC":
        return None if HEIF else "HEIC, which needs pillow-heif (pip install pillow-heif)"
    if name == "AVIF":
        return None if features.check("avif") else "AVIF, which this build of Pillow does not read"
    return None if name in FORMATS_OF_OPENED else name


def is_camera_raw(path: Path | None) -> bool:
    """Whether a file is named for a camera's raw data: many begin as TIFF, and hold a small preview there."""
    return path is not None and _SUFFIXES.get(path.suffix.lower()) == _RAW


def may_hold_image(path: Path) -> bool:
    """
    Whether a regular file is an image, or may hold one: by its beginning or by its name, whether it is read or not.

    Raises:
        OSError: if it cannot be opened.
    """
    return format_of_name(path) is not None or format_of_head(read_head(path)) is not None or is_image_file(path)


__all__ = [
    "FORMATS_BY_NAME",
    "FORMATS_OF_OPENED",
    "HEAD_SIZE",
    "READ_FORMATS",
    "format_of_head",
    "format_of_name",
    "formats_for",
    "is_archive",
    "is_camera_raw",
    "is_image_file",
    "is_image_name",
    "is_regular",
    "may_hold_image",
    "pillow_format_of_name",
    "read_head",
    "why_not_read",
]
