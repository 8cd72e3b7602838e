"""Rows of a server's audit log to which people have added labels: the logits stand there, so no image is needed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.author_format import labels_of_record
from ..data.json_records import read_records
from ..data.label_parsing import SET_COLUMNS, UNLABELLED, class_or_some_risk, is_labelled
from ..models.array_verdict import Separate


LOGITS = ("level_logits", "type_logits")
SEPARATE = ("separate_level_logits", "separate_type_logits")


def read_labelled_log(path: Path, weights: Sequence[str]) -> tuple[dict[str, Any], dict[str, int]]:
    """
    Reads what `calibrate_policy` takes.

    Args:
        path (`Path`):
            Lines of the audit log, of which some have got labels, called and spelled as training takes them. What is
            known to have some risk counts as that.
        weights (`Sequence[str]`): of [`StoredPolicy`]: the model that is calibrated must be the one that was served.

    Returns:
        `tuple[dict[str, Any], dict[str, int]]`: the arguments of [`calibrate_policy`] beside the policy, and how many
        inputs were left out: `"unlabelled"`, `"several_classes"`, which may be harmless or not, `"without_image"` and,
        from a log that has no scores of each image alone, `"several_images"`.

    Raises:
        ValueError: if a line is no JSON, has labels that are none, or was written by another model; with its number.
    """
    rows: dict[str, list[Any]] = {name: [] for name in (*LOGITS, *SET_COLUMNS)}
    left_out = {"unlabelled": 0, "several_classes": 0, "without_image": 0, "several_images": 0}
    separate, unfamiliar = [Separate()], []
    for number, line in read_records(path).items():
        if not isinstance(line, dict):
            raise ValueError(f"{path}, line {number}: {line if isinstance(line, ValueError) else 'not an object'}.")
        if line.get("event") != "assessed":
            continue
        found, problems = labels_of_record(line, may_lack=True)
        if problems:
            raise ValueError(f"{path}, line {number}: {'; '.join(problems)}.")
        labels = {name: class_or_some_risk(found, name) for name in SET_COLUMNS}
        if UNLABELLED in labels.values():
            left_out["several_classes" if is_labelled(found) else "unlabelled"] += 1
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
            unfamiliar.append(line.get("distrust") == "unfamiliar")
            for name in LOGITS:
                rows[name].append(line[name])
            for name, label in labels.items():
                rows[name].append(label)
    arrays: dict[str, Any] = {name: np.asarray(values) for name, values in rows.items()}
    joined = Separate(*map(np.concatenate, zip(*separate)))
    return {**arrays, "separate": joined, "unfamiliar": np.array(unfamiliar, dtype=bool)}, left_out
