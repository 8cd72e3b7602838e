"""Where labelled rows come from: a dataset or ratings, assessed now, or what a server or an audit has assessed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Dataset

from ..data import load_safety_dataset
from ..guards.open_guard import open_guard
from ..miniature.scene_dataset import build_dataset
from .audit_ticks import read_ticks
from .familiarity import fit_familiarity
from .labelled_files import LabelledFile, labelled_file
from .labelled_log import read_labelled_log
from .labelled_rows import Rows, check_rows
from .logits import assess_rows, select_rows
from .rated_rows import read_rated
from .row_digest import digest_file, digest_rows


MINIATURE = "miniature"


class SourceRows(NamedTuple):
    """
    What was read.

    Args:
        rows ([`Rows`]): the labelled rows with their scores.
        left_out (`dict[str, int]`): rows that were not taken, by reason.
        sha256 (`str`): digest of the rows, or of the file that they stand in.
        familiarity (`dict`, *optional*): what [`fit_familiarity`] made of them, where that was asked for.
    """

    rows: Rows
    left_out: dict[str, int]
    sha256: str
    familiarity: dict[str, Any] | None = None


def read_source(
    model: str,
    weights: Sequence[str],
    source: str,
    *,
    root: str | None,
    image_folder: Path | None,
    split: str,
    max_samples: int | None,
    label_map: Path | None,
    samples: Path | None,
    familiar_share: float | None,
    batch_size: int,
    device: str | None,
    dtype: str,
) -> SourceRows:
    """
    Reads labelled rows and what the model says of them; the arguments are those of [`run_calibration`], and `weights`
    are those of [`StoredPolicy`].

    Raises:
        ValueError: if the source is not as described, has no use for an argument, or holds no labelled row.
    """
    kind, familiarity = labelled_file(source), None
    if samples is not None and kind != LabelledFile.RATINGS:
        raise ValueError(f"--samples has no effect: {source} holds no ratings of `safe-llava review`.")
    if kind in (LabelledFile.LOG, LabelledFile.TICKS):
        of_images: dict[str, Any] = {"root": root, "image_folder": image_folder, "max_samples": max_samples}
        of_images |= {"label_map": label_map, "familiar_share": familiar_share}
        if given := [name for name, value in of_images.items() if value is not None]:
            raise ValueError(f"{source} is {kind.value}, which is read whole and without images: leave out {given}.")
        path, is_log = Path(source), kind == LabelledFile.LOG
        logits: dict[str, Any]
        logits, left_out = read_labelled_log(path, weights) if is_log else read_ticks(path, model, dtype)
        sha256 = digest_file(path)
    else:
        if kind == LabelledFile.RATINGS:
            rows, left_out = _load_rated(source, samples, root, image_folder, label_map, max_samples)
        else:
            rows, left_out = _load_rows(source, root, image_folder, split, max_samples, label_map)
        logits = {}
        if len(rows):
            guard: Any = open_guard(model, device, dtype)
            if familiar_share is not None:
                familiarity = fit_familiarity(guard.model, guard.processor, rows, familiar_share, batch_size)
            logits = assess_rows(guard, rows, batch_size)
        sha256 = digest_rows(rows)
    if not logits or not len(logits["safety_level"]):
        raise ValueError(f"{source} has no row with labels and an image (left out: {left_out}).")
    return SourceRows(check_rows(**logits), left_out, sha256, familiarity)


def _load_rows(
    source: str,
    root: str | None,
    image_folder: Path | None,
    split: str,
    max_samples: int | None,
    label_map: Path | None,
) -> tuple[Dataset, dict[str, int]]:
    if source == MINIATURE:
        if max_samples is None:
            raise ValueError(f"'{MINIATURE}' draws as many scenes as --max-samples; set it, such as to 1000.")
        return select_rows(build_dataset(split, max_samples, stage="evaluation"))
    dataset, _ = load_safety_dataset(source, root, image_folder=image_folder, split=split, label_map=label_map)
    return _select_first(dataset, max_samples)


def _load_rated(
    source: str,
    samples: Path | None,
    root: str | None,
    image_folder: Path | None,
    label_map: Path | None,
    max_samples: int | None,
) -> tuple[Dataset, dict[str, int]]:
    if samples is None:
        raise ValueError(f"{source} is {LabelledFile.RATINGS.value}: give the samples that were rated by --samples.")
    if given := [name for name, value in {"root": root, "label_map": label_map}.items() if value is not None]:
        raise ValueError(f"{source} is {LabelledFile.RATINGS.value}, which has no use for {given}: leave them out.")
    dataset, cut_off = read_rated(Path(source), samples, image_folder)
    rows, left_out = _select_first(dataset, max_samples)
    return rows, {**left_out, **cut_off}


def _select_first(dataset: Dataset, max_samples: int | None) -> tuple[Dataset, dict[str, int]]:
    if max_samples is None or max_samples >= len(dataset):
        return select_rows(dataset)
    rows, left_out = select_rows(dataset.take(max_samples))
    return rows, {**left_out, "beyond_max_samples": len(dataset) - max_samples}
