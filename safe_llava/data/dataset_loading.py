"""Safety datasets from disk or hub, every row checked."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset, Features, Image, List

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
from .csv_records import read_csv_records, require_conversation
from .dataset_report import BadRow, DatasetReport, InvalidDatasetError
from .image_cells import source_of
from .image_checks import find_image_problems
from .image_digests import ImageDigests
from .json_records import read_records
from .label_parsing import SET_COLUMNS, UNLABELLED, parse_labels
from .llava_tables import MESSAGE_FEATURE, with_our_columns
from .source_datasets import load_source_dataset
from .source_forms import FORMS_IN_WORDS, folder_of, form_of, has_configurations, may_name_images
from .sources import PUBLIC_SETS, is_public_set, read_public_set
from .tar_samples import read_tar_records


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
            Rows in LLaVA's form with the labels of the authors (arXiv 2405.13581), `conversations`, `image`,
            `safe_level`, `safe_type`; or in our columns, `messages`, or `prompt` and `completion`, `images`,
            `safety_level`, `safety_type`. In a `.json` or `.jsonl` file: a list, an object a line, or objects over
            several lines; in `.csv` or `.tsv`; each also in `.gz`; in `.parquet`, `.arrow` or `.tar` files, of which
            the last hold an image and its `.json` side by side; in a folder of these, of images with
            `metadata.jsonl`, or of `save_to_disk`; or in a dataset on the Hub. Mixing, balance and rows that are held
            out need all rows, so nothing is streamed. Or a public set by its name, such as `"vlguard"` (see
            [`~safe_llava.data.sources`]); a path that is called so is written `./vlguard`.
        root (`str` or `Path`, *optional*):
            Where the files of a public set lie, as its authors publish them: your copy, or a dataset id on the Hub.
            Defaults to its own on the Hub. For public sets only.
        image_folder (`str` or `Path`, *optional*):
            Folder that the names of image files start from. Defaults to the folder that the source is or lies in.
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
    if image_folder is not None and not may_name_images(source):
        raise ValueError(f"`image_folder` has no effect: {source} holds its images.")
    if config_name is not None and not has_configurations(source):
        raise ValueError(f"`config_name` has no effect: {source} has no configurations.")
    found = _read_source(str(source), split, config_name)
    folder = None if image_folder is None else Path(image_folder)
    own_folder = folder_of(source)
    if isinstance(found, dict):
        rows, problems = _parse_records(source, found, folder or own_folder, check_images, unlabelled, digests)
        report = _settle(source, problems, on_error)
        return without_empty_sets(Dataset.from_list(rows, features=AUTHOR_FEATURES)), report
    dataset, unread = with_our_columns(found, str(source), own_folder, folder)
    labels = _labels_of_unlabelled(source, bool(SET_COLUMNS.keys() & {*dataset.column_names}), unlabelled)
    if labels is not None:
        for column in SET_COLUMNS:
            dataset = dataset.add_column(column, [labels[column]] * len(dataset))
    dataset = with_known_roles(require_columns(dataset, str(source)))
    problems = dict(enumerate(column_problems(dataset, check_images, digests), start=1))
    problems |= unread
    report = _settle(source, problems, on_error)
    if report.bad_rows:
        dataset = dataset.select([number - 1 for number, reasons in problems.items() if not reasons])
    return with_label_indices(dataset), report


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
    found = zip(rows.dataset["place"], column_problems(dataset, check_images, digests), strict=True)
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


def _read_source(source: str, split: str, config_name: str | None) -> dict[int, Any] | Dataset:
    """A table; or the rows of JSON, csv and tar files by their numbers."""
    form = form_of(source)
    if form == "json":
        return read_records(Path(source))
    if form == "csv":
        records = read_csv_records(Path(source))
        for record in [record for record in records.values() if isinstance(record, dict)][:1]:
            require_conversation(Path(source), record)
        return records
    if form in ("image", "file"):
        raise ValueError(f"{source} holds no rows to train on. A source is {FORMS_IN_WORDS}.")
    loaded = load_source_dataset(source, split, config_name)
    return read_tar_records(loaded) if isinstance(loaded, list) else loaded


def _parse_records(
    source: str | Path,
    records: dict[int, Any],
    folder: Path | None,
    check_images: bool,
    unlabelled: str,
    digests: ImageDigests | None,
) -> tuple[list[dict[str, Any]], dict[int, list[str]]]:
    """The good rows, and the problems of every row by its number."""
    objects = [record for record in records.values() if isinstance(record, dict)]
    labels = _labels_of_unlabelled(source, has_labels(objects), unlabelled) if objects else None
    parsed = {number: parse_record(record, folder, labels) for number, record in records.items()}
    problems = {number: reasons for number, (_, reasons) in parsed.items()}
    if check_images:
        images = [list(map(source_of, row.get("images", []))) for row, _ in parsed.values()]
        for reasons, found in zip(problems.values(), find_image_problems(images, len(images), digests), strict=True):
            reasons += found
    return [row for row, reasons in parsed.values() if not reasons], problems


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
