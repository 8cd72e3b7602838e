"""Where labelled rows come from: a dataset that the model assesses now, or what a server or an audit has assessed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Dataset

from ..data import load_safety_dataset
from ..guards.open_guard import open_guard
from ..miniature.scene_dataset import build_dataset
from .audit_ticks import is_ticks, read_ticks
from .labelled_log import is_audit_log, read_labelled_log
from .labelled_rows import Rows, check_rows
from .logits import assess_rows, select_rows
from .row_digest import digest_file, digest_rows


MINIATURE = "miniature"


class SourceRows(NamedTuple):
    """
    What was read.

    Args:
        rows ([`Rows`]): the labelled rows with their scores.
        left_out (`dict[str, int]`): rows that were not taken, by reason.
        sha256 (`str`): digest of the rows, or of the file that they stand in.
    """

    rows: Rows
    left_out: dict[str, int]
    sha256: str


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
    if is_audit_log(source) or is_ticks(source):
        kind = "an audit log" if is_audit_log(source) else "the ticks of an audit"
        of_images = {"root": root, "image_folder": image_folder, "max_samples": max_samples, "label_map": label_map}
        if given := [name for name, value in of_images.items() if value is not None]:
            raise ValueError(f"{source} is {kind}, which is read whole and without images: leave out {given}.")
        path = Path(source)
        logits: dict[str, Any]
        logits, left_out = read_labelled_log(path, weights) if is_audit_log(source) else read_ticks(path, model, dtype)
        sha256 = digest_file(path)
    else:
        rows, left_out = _load_rows(source, root, image_folder, split, max_samples, label_map)
        logits = assess_rows(open_guard(model, device, dtype), rows, batch_size) if len(rows) else {}
        sha256 = digest_rows(rows)
    if not logits or not len(logits["safety_level"]):
        raise ValueError(f"{source} has no row with labels and an image (left out: {left_out}).")
    return SourceRows(check_rows(**logits), left_out, sha256)


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
    if max_samples is None or max_samples >= len(dataset):
        return select_rows(dataset)
    rows, left_out = select_rows(dataset.take(max_samples))
    return rows, {**left_out, "beyond_max_samples": len(dataset) - max_samples}
