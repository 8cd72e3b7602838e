"""Images of rows as the cells of a dataset, `{"bytes", "path"}`."""

from pathlib import Path
from typing import Any


def as_cell(image: Any) -> dict[str, Any]:
    """
    Turns an image as [`~safe_llava.data.image_values.images_of`] gives it into a cell.

    Args:
        image (`Path`, `str`, `bytes` or `dict`): the image. It is not opened.

    Raises:
        ValueError: if it is a URL, for data to train on must not change between two runs, or a relative path.
    """
    if isinstance(image, str):
        raise ValueError(f"image '{image:.80}' is a URL; download it, and name the file")
    if isinstance(image, bytes):
        return {"bytes": image, "path": None}
    if isinstance(image, Path) and not image.is_absolute():
        raise ValueError(f"image '{image}' is a file; say by `image_folder` where it lies")
    return {"bytes": None, "path": str(image)} if isinstance(image, Path) else image


def source_of(cell: dict[str, Any]) -> Any:
    """What [`~safe_llava.models.image_reading.read_image`] takes of a cell, so that a file is called by its name."""
    return cell if cell["bytes"] else Path(cell["path"])
