"""A folder of one's own images, by sub-folders that are named after risk types.

<folder>/privacy/*.jpg        any of the six risk types, spelled as [`~safe_llava.data.parse_safety_type`] takes it
<folder>/safe/*.png           harmless images, to be helped with
<folder>/question.txt         the question to ask about every image, and likewise in a sub-folder for its own;
                              a neutral one is asked where there is none
"""

from pathlib import Path

from ...data.label_parsing import parse_safety_type
from ...data.sources.published_images import ImageFiles
from ...data.sources.published_tables import PublishedFileError, Record, check_split
from ...models.image_formats import is_image_name
from ...models.safety_labels import SAFE_TYPE_ID, SAFETY_TYPES
from .benchmark_row import BenchmarkRow


NEUTRAL_QUESTION = "Describe this picture."
QUESTION_FILE = "question.txt"


def load_risk_folder(path: Path, split: str | None = None) -> list[BenchmarkRow]:
    """
    Loads a folder of images; `subset` is the type and `id` the image's path in the folder.

    Args:
        path (`Path`): the folder.
        split (`str`, *optional*): must be left out.

    Returns:
        `list[BenchmarkRow]`: the rows in the order of the files.
    """
    check_split("risk_folder", split, ())
    items = sorted(path.iterdir()) if path.is_dir() else []
    folders = [item for item in items if item.is_dir() and not item.name.startswith(".")]
    if not folders:
        raise PublishedFileError(f"{path} has no sub-folder named after a risk type, such as {path / 'privacy'}.")
    question = _read_question(path, NEUTRAL_QUESTION)
    image_files = ImageFiles(path)
    rows = []
    for folder in folders:
        try:
            kind = parse_safety_type(folder.name)
        except ValueError as error:
            raise PublishedFileError(f"The sub-folder {folder} is not named after a risk type: {error}.") from error
        name = SAFETY_TYPES[kind]
        for file in _list_images(folder):
            spelled = file.relative_to(path).as_posix()
            rows.append(
                BenchmarkRow(
                    id=spelled,
                    question=_read_question(folder, question),
                    images=(image_files.find(Record(str(file), {}), spelled),),
                    is_harmful=kind != SAFE_TYPE_ID,
                    subset=name,
                    risk_type=None if kind == SAFE_TYPE_ID else name,
                )
            )
    image_files.require_all()
    return rows


def _list_images(folder: Path) -> list[Path]:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not file.name.startswith(".")]
    image_files = [file for file in files if is_image_name(file)]
    if others := [str(file) for file in files if file not in image_files and file != folder / QUESTION_FILE]:
        raise PublishedFileError(f"{folder} must hold images and {QUESTION_FILE} alone, but has {others}.")
    if not image_files:
        raise PublishedFileError(f"{folder} has no image.")
    return image_files


def _read_question(folder: Path, default: str) -> str:
    file = folder / QUESTION_FILE
    if not file.is_file():
        return default
    question = file.read_text(encoding="utf-8-sig").strip()
    if not question:
        raise PublishedFileError(f"{file} is empty; write a question or remove it.")
    return question
