"""Rows of a server's audit log to which people have added labels: the logits stand there, so no image is needed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.json_records import read_records
from ..data.label_parsing import UNLABELLED, parse_labels
from ..models.array_verdict import Separate


LOGITS = ("level_logits", "type_logits")
SEPARATE = ("separate_level_logits", "separate_type_logits")


def is_audit_log(source: str) -> bool:
    """Whether a source is a file that `safe-llava serve` wrote, by its first row."""
    if not Path(source).is_file():
        return False
    with Path(source).open("rb") as file:
        head = file.read(100)
    return head.startswith(b'{"time": ') and b'"event": ' in head


def read_labelled_log(path: Path, weights: Sequence[str]) -> tuple[dict[str, Any], dict[str, int]]:
    """
    Reads what `calibrate_policy` takes.

    Args:
        path (`Path`): lines of the audit log, of which some have got `safety_level` and `safety_type`.
        weights (`Sequence[str]`): of [`StoredPolicy`]: the model that is calibrated must be the one that was served.

    Returns:
        `tuple[dict[str, Any], dict[str, int]]`: the arguments of [`calibrate_policy`] beside the policy, and how many
        inputs were left out: `"unlabelled"`, `"without_image"` and, from a log that has no scores of each image alone,
        `"several_images"`.

    Raises:
        ValueError: if a line is no JSON, has labels that are none, or was written by another model; with its number.
    """
    rows: dict[str, list[Any]] = {name: [] for name in (*LOGITS, "safety_level", "safety_type")}
    left_out = {"unlabelled": 0, "without_image": 0, "several_images": 0}
    separate = [Separate()]
    for number, line in read_records(path).items():
        if not isinstance(line, dict):
            raise ValueError(f"{path}, line {number}: {line if isinstance(line, ValueError) else 'not an object'}.")
        if line.get("event") != "assessed":
            continue
        labels, problems = parse_labels(line)
        if problems:
            raise ValueError(f"{path}, line {number}: {'; '.join(problems)}.")
        if UNLABELLED in (labels["safety_level"], labels["safety_type"]):
            left_out["unlabelled"] += 1
        elif not line.get("assessed"):
            left_out["without_image"] += 1
        elif line.get("weights") not in weights:
            raise ValueError(
                f"{path}, line {number}: its verdict is not this model's, or could not be trusted. Calibrate the "
                "model that was served, or take the line out."
            )
        elif len(line.get("images", [])) > 1 and SEPARATE[0] not in line:
            left_out["several_images"] += 1
        else:
            if SEPARATE[0] in line:
                logits = [np.asarray(line[name], dtype=float) for name in SEPARATE]
                separate.append(Separate(np.full(len(logits[0]), len(rows["safety_level"])), *logits))
            for name in LOGITS:
                rows[name].append(line[name])
            for name in ("safety_level", "safety_type"):
                rows[name].append(labels[name])
    arrays: dict[str, Any] = {name: np.asarray(values) for name, values in rows.items()}
    return {**arrays, "separate": Separate(*map(np.concatenate, zip(*separate)))}, left_out
