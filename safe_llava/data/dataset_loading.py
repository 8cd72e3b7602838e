"""Safety datasets from disk or hub, every row checked."""

import logging
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset, Features, Image, List, Value, load_dataset, load_from_disk

from .author_format import parse_author_line
from .columns import LABEL_FEATURES, column_problems, require_columns, with_label_indices, without_empty_sets
from .dataset_report import BadRow, DatasetReport, InvalidDatasetError
from .image_checks import find_image_problems


logger = logging.getLogger(__name__)

AUTHOR_FEATURES = Features(
    {
        "messages": List(
            {"role": Value("string"), "content": List({"type": Value("string"), "text": Value("string")})}
        ),
        "images": List(Image()),
        **LABEL_FEATURES,
    }
)


def load_safety_dataset(
    source: str | Path,
    image_folder: str | Path | None = None,
    split: str = "train",
    config_name: str | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    check_images: bool = True,
) -> tuple[Dataset, DatasetReport]:
    """
    Loads safety data and checks labels, conversations, image placeholders and images of every row.

    Args:
        source (`str` or `Path`):
            A `.jsonl` or `.json` file with one object a line in the authors' format (arXiv 2405.13581); or, in our
            columns (`messages`, or `prompt` and `completion`; `images`; `safety_level`; `safety_type`), a parquet
            file, a folder, or a dataset id on the Hub.
        image_folder (`str` or `Path`, *optional*):
            Folder that the file names in a JSON lines file start from. Defaults to the file's own folder. For JSON
            lines only.
        split (`str`, *optional*, defaults to `"train"`): split of a folder or Hub dataset.
        config_name (`str`, *optional*): configuration of a Hub dataset.
        on_error (`str`, *optional*, defaults to `"raise"`):
            `"raise"` refuses a dataset with bad rows, listing them all; `"skip"` leaves them out and lists them in the
            report and in the log.
        check_images (`bool`, *optional*, defaults to `True`):
            Whether to decode every image once. Without it only missing files are noticed, and later.

    Returns:
        `tuple[Dataset, DatasetReport]`: the dataset, its images decoded only when read, `safety_level` and
        `safety_type` as int64, -100 where not one class alone is known; where some row has a set of possible classes
        also `possible_levels` and `possible_types`, lists that are empty on the other rows; and the report.

    Raises:
        InvalidDatasetError: if there are bad rows and `on_error` is `"raise"`, or no good row is left.
        FileNotFoundError: if the file does not exist.
        ValueError: if a column or the split is missing, if `on_error` is none of the two, or if the source has no use
            for `image_folder` or `config_name`.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f"`on_error` must be 'raise' or 'skip', not {on_error!r}.")
    if image_folder is not None and not names_images(source):
        raise ValueError(f"`image_folder` has no effect: {source} holds its images, only JSON lines name theirs.")
    if config_name is not None and not has_configurations(source):
        raise ValueError(f"`config_name` has no effect: {source} has no configurations.")
    if names_images(source):
        rows, problems = _read_author_file(Path(source), image_folder, check_images)
        report = _settle(source, problems, on_error)
        return without_empty_sets(Dataset.from_list(rows, features=AUTHOR_FEATURES)), report
    dataset = require_columns(_read_dataset(str(source), split, config_name), str(source))
    problems = dict(enumerate(column_problems(dataset, check_images), start=1))
    report = _settle(source, problems, on_error)
    if report.bad_rows:
        dataset = dataset.select([number - 1 for number, reasons in problems.items() if not reasons])
    return with_label_indices(dataset), report


def names_images(source: str | Path) -> bool:
    """Whether a source is JSON lines, which name their images by their files."""
    return Path(source).suffix in (".jsonl", ".json")


def has_configurations(source: str | Path) -> bool:
    """Whether a source may have configurations, as a folder of files and a dataset on the Hub may."""
    saved = any((Path(source) / name).is_file() for name in ("state.json", "dataset_dict.json"))
    return not saved and not names_images(source) and not str(source).endswith(".parquet")


def has_splits(source: str | Path) -> bool:
    """Whether a source may have splits: a file and a dataset that was saved alone have none."""
    return has_configurations(source) or (Path(source) / "dataset_dict.json").is_file()


def _settle(source: str | Path, problems: dict[int, list[str]], on_error: str) -> DatasetReport:
    bad_rows = tuple(BadRow(number, tuple(reasons)) for number, reasons in problems.items() if reasons)
    report = DatasetReport(str(source), len(problems), bad_rows)
    if (bad_rows and on_error == "raise") or len(bad_rows) == len(problems):
        raise InvalidDatasetError(report)
    if bad_rows:
        logger.warning("Skipping bad rows: %s", report)
    return report


def _read_author_file(
    path: Path, image_folder: str | Path | None, check_images: bool
) -> tuple[list[dict[str, Any]], dict[int, list[str]]]:
    """The good rows, and the problems of every row by its line number."""
    folder = Path(image_folder or path.parent)
    lines = {number: line for number, line in enumerate(path.read_bytes().split(b"\n"), start=1) if line.strip()}
    parsed = {number: parse_author_line(line, folder) for number, line in lines.items()}
    problems = {number: reasons for number, (_, reasons) in parsed.items()}
    if check_images:
        images = [row.get("images", []) for row, _ in parsed.values()]
        for reasons, found in zip(problems.values(), find_image_problems(images, len(images)), strict=True):
            reasons += found
    rows = [
        {**row, "images": [str(image) for image in row["images"]]} for row, reasons in parsed.values() if not reasons
    ]
    return rows, problems


def _read_dataset(source: str, split: str, config_name: str | None) -> Dataset:
    if source.endswith(".parquet"):
        return load_dataset("parquet", data_files=source, split="train")
    if (Path(source) / "state.json").is_file():
        return load_from_disk(source)
    if (Path(source) / "dataset_dict.json").is_file():
        splits = load_from_disk(source)
        if split not in splits:
            raise ValueError(
                f"{source} has no split {split!r}, but {', '.join(splits)}. Name one of them (`split`, `--split`)."
            )
        return splits[split]
    return load_dataset(source, config_name, split=split)
