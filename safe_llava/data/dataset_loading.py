"""Safety datasets from disk or hub, every row checked."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset, Features, Image, List, load_dataset, load_from_disk

from ..models.safety_labels import SAFE_TYPE_ID
from .author_format import has_labels, parse_record
from .columns import (
    LABEL_FEATURES,
    column_problems,
    require_columns,
    with_known_roles,
    with_label_indices,
    without_empty_sets,
)
from .csv_records import is_csv_name, read_csv_records
from .dataset_report import BadRow, DatasetReport, InvalidDatasetError
from .image_checks import find_image_problems
from .image_digests import ImageDigests
from .json_records import is_json_name, read_records
from .label_parsing import SET_COLUMNS, UNLABELLED, parse_labels
from .llava_tables import MESSAGE_FEATURE, with_our_columns
from .sources import PUBLIC_SETS, read_public_set


logger = logging.getLogger(__name__)

UNLABELLED_ROWS = ("raise", "clean", "ignore")

AUTHOR_FEATURES = Features(
    {
        "messages": MESSAGE_FEATURE,
        "images": List(Image()),
        **LABEL_FEATURES,
    }
)


def load_safety_dataset(
    source: str | Path,
    root: str | Path | None = None,
    *,
    image_folder: str | Path | None = None,
    split: str = "train",
    config_name: str | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    check_images: bool = True,
    unlabelled: Literal["raise", "clean", "ignore"] = "raise",
    label_map: str | Path | Mapping[str, Any] | None = None,
    digests: ImageDigests | None = None,
) -> tuple[Dataset, DatasetReport]:
    """
    Loads safety data and checks labels, conversations, image placeholders and images of every row.

    Args:
        source (`str` or `Path`):
            A `.json` or `.jsonl` file, as it is or in `.gz`, of rows in LLaVA's form with the labels of the authors
            (arXiv 2405.13581): a list, an object a line, or objects over several lines; or such rows in a `.csv` file,
            with columns of questions and answers or one of conversations. Or, in our columns
            (`messages`, or `prompt` and `completion`; `images`; `safety_level`; `safety_type`) or in LLaVA's and the
            authors' (`conversations`, `image`, `safe_level`, `safe_type`), a parquet file, a folder, or a dataset id
            on the Hub. Or a public set by its name, such as `"vlguard"` (see [`~safe_llava.data.sources`]).
        root (`str` or `Path`, *optional*):
            Where the files of a public set lie, as its authors publish them: your copy, or a dataset id on the Hub.
            Defaults to its own on the Hub. For public sets only.
        image_folder (`str` or `Path`, *optional*):
            Folder that the file names in JSON or csv start from. Defaults to the file's own folder. For these only,
            and for public sets that publish their images apart.
        split (`str`, *optional*, defaults to `"train"`): split of a folder, a Hub dataset or a public set.
        config_name (`str`, *optional*): configuration of a Hub dataset.
        on_error (`str`, *optional*, defaults to `"raise"`):
            `"raise"` refuses a dataset with bad rows; `"skip"` leaves them out. Error and log say each kind of fault
            once, with the first rows; the report has them all.
        check_images (`bool`, *optional*, defaults to `True`):
            Whether to decode every image once. Without it only missing files are noticed, and later.
        unlabelled (`str`, *optional*, defaults to `"raise"`):
            What the rows of a source are in which no row has a label, as in LLaVA-Instruct: `"clean"` takes your word
            that all are harmless (level "none", type "safe"); `"ignore"` leaves them without labels, so that only the
            language model learns from them; `"raise"` refuses the source. Not for public sets.
        label_map (`str`, `Path` or `Mapping`, *optional*):
            What the categories of a public set become, as `safe-llava data show NAME` prints it: a YAML file, or what
            it holds. Defaults to the set's own. For public sets only.
        digests ([`~safe_llava.data.image_digests.ImageDigests`], *optional*):
            Gets the digest of every image that is checked, so that nobody need decode it again to compare it.

    Returns:
        `tuple[Dataset, DatasetReport]`: the dataset, its images decoded only when read, `safety_level` and
        `safety_type` as int64, -100 where not one class alone is known; where some row has a set of possible classes
        also `possible_levels` and `possible_types`, lists that are empty on the other rows; and the report. Rows of
        public sets without an answer end with the question, and their `head_only` is true: only the safety head learns
        from them.

    Raises:
        InvalidDatasetError: if there are bad rows and `on_error` is `"raise"`, or no good row is left.
        FileNotFoundError: if the file does not exist.
        ValueError: if a column or the split is missing, no row has a label, `on_error` or `unlabelled` is none of its
            choices, or the source has no use for an argument; or if a public set's files are not as published.
        OSError: if the Hub refuses a public set, such as a gated one, with its own message.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f"`on_error` must be 'raise' or 'skip', not {on_error!r}.")
    if unlabelled not in UNLABELLED_ROWS:
        raise ValueError(f"`unlabelled` must be one of {UNLABELLED_ROWS}, not {unlabelled!r}.")
    if is_public_set(source):
        given = {"config_name": config_name is not None, "unlabelled": unlabelled != "raise"}
        if idle := [name for name, is_given in given.items() if is_given]:
            raise ValueError(f"`{idle[0]}` has no effect: {source} is a public set, read as it is published.")
        return _load_public_set(str(source), root, split, image_folder, label_map, on_error, check_images, digests)
    for name, value in (("root", root), ("label_map", label_map)):
        if value is not None:
            hint = " Name the folder of images by `image_folder`." if name == "root" else ""
            raise ValueError(f"`{name}` has no effect: {source} is no public set ({', '.join(PUBLIC_SETS)}).{hint}")
    if image_folder is not None and not names_images(source):
        raise ValueError(
            f"`image_folder` has no effect: {source} holds its images, only JSON and csv name them by files."
        )
    if config_name is not None and not has_configurations(source):
        raise ValueError(f"`config_name` has no effect: {source} has no configurations.")
    if names_images(source):
        rows, problems = _read_named_images(Path(source), image_folder, check_images, unlabelled, digests)
        report = _settle(source, problems, on_error)
        return without_empty_sets(Dataset.from_list(rows, features=AUTHOR_FEATURES)), report
    dataset, unread = with_our_columns(_read_dataset(str(source), split, config_name), str(source))
    labels = _labels_of_unlabelled(source, bool(SET_COLUMNS.keys() & {*dataset.column_names}), unlabelled)
    if labels is not None:
        for column in SET_COLUMNS:
            dataset = dataset.add_column(column, [labels[column]] * len(dataset))
    dataset = with_known_roles(require_columns(dataset, str(source)))
    problems = dict(enumerate(column_problems(dataset, check_images, digests), start=1))
    problems |= {number: [reason] for number, reason in unread.items()}
    report = _settle(source, problems, on_error)
    if report.bad_rows:
        dataset = dataset.select([number - 1 for number, reasons in problems.items() if not reasons])
    return with_label_indices(dataset), report


def is_public_set(source: str | Path) -> bool:
    """Whether a source is the name of a public set; a path of that name is written `./NAME`, or as a `Path`."""
    return isinstance(source, str) and source in PUBLIC_SETS


def names_images(source: str | Path) -> bool:
    """Whether a source names its images by their files: a JSON or csv file, and a public set without its images."""
    if is_public_set(source):
        return PUBLIC_SETS[str(source)].uses_image_folder
    return is_json_name(source) or is_csv_name(source)


def has_configurations(source: str | Path) -> bool:
    """Whether a source may have configurations, as a folder of files and a dataset on the Hub may."""
    if is_public_set(source):
        return False
    saved = any((Path(source) / name).is_file() for name in ("state.json", "dataset_dict.json"))
    return not saved and not names_images(source) and not str(source).endswith(".parquet")


def has_splits(source: str | Path) -> bool:
    """Whether a source may have splits: a file and a dataset that was saved alone have none."""
    return is_public_set(source) or has_configurations(source) or (Path(source) / "dataset_dict.json").is_file()


def _load_public_set(
    name: str,
    root: str | Path | None,
    split: str,
    image_folder: str | Path | None,
    label_map: str | Path | Mapping[str, Any] | None,
    on_error: str,
    check_images: bool,
    digests: ImageDigests | None,
) -> tuple[Dataset, DatasetReport]:
    rows = read_public_set(PUBLIC_SETS[name], root, split, image_folder, label_map)
    dataset = rows.dataset.remove_columns("place")
    found = zip(rows.dataset["place"], column_problems(dataset, check_images, digests))
    problems = {
        number: [f"{place}: {reason}" for reason in reasons] for number, (place, reasons) in enumerate(found, start=1)
    }
    problems |= {number: [*reasons, *problems[number]] for number, reasons in rows.label_problems.items()}
    problems |= rows.problems
    report = _settle(rows.source, problems, on_error, rows.left_out)
    kept = [number - 1 for number, reasons in problems.items() if not reasons and number not in rows.left_out]
    return without_empty_sets(dataset if len(kept) == len(dataset) else dataset.select(kept)), report


def _settle(
    source: str | Path, problems: dict[int, list[str]], on_error: str, left_out: Mapping[int, str] | None = None
) -> DatasetReport:
    bad_rows = tuple(BadRow(number, tuple(reasons)) for number, reasons in problems.items() if reasons)
    by_rule = tuple(BadRow(number, (rule,)) for number, rule in (left_out or {}).items() if not problems[number])
    report = DatasetReport(str(source), len(problems), bad_rows, by_rule)
    if by_rule:
        logger.warning("Rows left out by rule: %s", report.describe_left_out())
    if (bad_rows and on_error == "raise") or len(bad_rows) + len(by_rule) == len(problems):
        raise InvalidDatasetError(report)
    if bad_rows:
        logger.warning("Skipping bad rows: %s", report)
    return report


def _read_named_images(
    path: Path,
    image_folder: str | Path | None,
    check_images: bool,
    unlabelled: str,
    digests: ImageDigests | None,
) -> tuple[list[dict[str, Any]], dict[int, list[str]]]:
    """The good rows, and the problems of every row by its number."""
    folder = Path(image_folder or path.parent)
    records = read_csv_records(path) if is_csv_name(path) else read_records(path)
    objects = [record for record in records.values() if isinstance(record, dict)]
    labels = _labels_of_unlabelled(path, has_labels(objects), unlabelled) if objects else None
    parsed = {number: parse_record(record, folder, labels) for number, record in records.items()}
    problems = {number: reasons for number, (_, reasons) in parsed.items()}
    if check_images:
        images = [row.get("images", []) for row, _ in parsed.values()]
        for reasons, found in zip(problems.values(), find_image_problems(images, len(images), digests), strict=True):
            reasons += found
    rows = [
        {**row, "images": [str(image) for image in row["images"]]} for row, reasons in parsed.values() if not reasons
    ]
    return rows, problems


def _labels_of_unlabelled(source: str | Path, is_labelled: bool, unlabelled: str) -> dict[str, Any] | None:
    """The labels of every row of a source that has none; `None` where it has labels."""
    if is_labelled and unlabelled != "raise":
        raise ValueError(f"`unlabelled` has no effect: {source} has labels. Leave it out.")
    if is_labelled:
        return None
    if unlabelled == "raise":
        raise ValueError(
            f"{source} has no labels: no row has 'safe_level' and 'safe_type' (or 'safety_level' and 'safety_type'). "
            "If all its rows are harmless, as LLaVA-Instruct's are, say so by unlabelled='clean'; with 'ignore' only "
            "the language model learns from them."
        )
    labels = (0, SAFE_TYPE_ID) if unlabelled == "clean" else (UNLABELLED, UNLABELLED)
    return parse_labels(dict(zip(SET_COLUMNS, labels)))[0]


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
