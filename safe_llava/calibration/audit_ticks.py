"""Ticks of an audit's report as labelled rows: the scores stand in its verdict table, so no image is needed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import hypergeom

from ..audit.plan import Plan
from ..audit.row_assessment import RowAssessor, say_distrust
from ..audit.verdict_table import LEVEL_COLUMNS, TYPE_COLUMNS, read_verdicts
from ..data.json_records import unpack
from ..data.label_parsing import SOME_RISK
from ..models.safety_labels import SAFE_TYPE_ID


RANDOM_LISTS = ("flagged", "passed")
_UNLIKELY = 1e-6


def read_ticks(path: Path, model: str, dtype: str = "auto") -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """
    Reads what `calibrate_policy` takes. "harmless" is a label; "risky" is a risk of an unknown level and type.

    The report shows random samples of the flagged and of the passed rows, in which flagged ones are far more frequent
    than in the dataset. As many of each are taken as a random sample of the dataset would hold.

    Args:
        path (`Path`): the export, which lies in the folder of the audit.
        model (`str`): the checkpoint that is calibrated, which must be the one that assessed.
        dtype (`str`, *optional*, defaults to `"auto"`): the weights' type, the audit's too.

    Returns:
        `tuple[dict[str, np.ndarray], dict[str, int]]`: the arguments of [`calibrate_policy`] beside the policy, and
        how many rows were left out: `"only_riskiest"`; `"skipped"`, without a tick before the last that has one;
        `"thinned"`; `"several_images"`, of which the table has not all scores; and `"untrusted"` for another reason
        than that they are unfamiliar.

    Raises:
        ValueError: if the audit does not lie there, is another one, or was made with another model.
    """
    content = json.loads(unpack(path))
    if not (path.parent / "plan.json").is_file():
        raise ValueError(
            f"{path} must lie in the folder of the audit whose report it was exported from, beside report.html: the "
            "verdict table there has the scores."
        )
    plan = Plan.read(path.parent / "plan.json")
    now = RowAssessor(model, dtype=dtype).model_version
    for name, expected in (("model_version", now), ("model_version", plan.model_version)):
        if content[name] != expected:
            raise ValueError(
                f"{path} has ticks on verdicts of model version {content[name]}, and "
                f"{model if expected == now else path.parent} is of {expected}. Calibrate the model that was audited."
            )
    if content["policy_version"] != plan.policy_version:
        raise ValueError(f"{path} was exported from an audit under another policy than that in {path.parent}.")
    ticks = {tick["key"]: tick for tick in content["ticks"] if set(tick["lists"]) & set(RANDOM_LISTS)}
    left_out = {
        "only_riskiest": len(content["ticks"]) - len(ticks),
        "skipped": sum(estimate["skipped"] for estimate in content["estimates"].values()),
    }
    rows = {row["key"]: row for row in _rows_of(path.parent, list(ticks))}
    if gone := [key for key in ticks if key not in rows]:
        raise ValueError(f"{path}: {gone[0]!r} is not in the verdict table of {path.parent}.")
    by_list = {name: [row for key, row in rows.items() if name in ticks[key]["lists"]] for name in RANDOM_LISTS}
    taken = _thin(by_list, content["sizes"])
    left_out["thinned"] = len(rows) - len(taken)
    left_out["several_images"] = sum(row["num_images"] > 1 for row in taken)
    kept = [row for row in taken if row["num_images"] == 1 and (row["trusted"] or _is_unfamiliar(row))]
    left_out["untrusted"] = len(taken) - left_out["several_images"] - len(kept)
    is_harmless = np.array([ticks[row["key"]]["tick"] == "harmless" for row in kept], dtype=bool)
    temperature = plan.policy["temperature"]
    return {
        "level_logits": _logits(kept, LEVEL_COLUMNS, temperature["level"]),
        "type_logits": _logits(kept, TYPE_COLUMNS, temperature["type"]),
        "safety_level": np.where(is_harmless, 0, SOME_RISK),
        "safety_type": np.where(is_harmless, SAFE_TYPE_ID, SOME_RISK),
        "unfamiliar": np.array([_is_unfamiliar(row) for row in kept], dtype=bool),
    }, left_out


def _is_unfamiliar(row: dict[str, Any]) -> bool:
    return not row["trusted"] and row["notes"] is not None and say_distrust("unfamiliar") in row["notes"]


def _rows_of(folder: Path, keys: list[str]) -> list[dict[str, Any]]:
    """The rows of the verdict table with these keys, in their order."""
    columns = ["key", "num_images", "trusted", "notes", *LEVEL_COLUMNS, *TYPE_COLUMNS]
    table = read_verdicts(folder, columns).to_pandas()
    found = table[table["key"].isin(keys)].set_index("key", drop=False)
    return [found.loc[key].to_dict() for key in keys if key in found.index]


def _thin(by_list: dict[str, list[dict[str, Any]]], sizes: dict[str, int]) -> list[dict[str, Any]]:
    """As many rows of each list, from its front, as a random sample of all rows holds."""
    flagged, passed = (by_list[name] for name in RANDOM_LISTS)
    num_flagged, num_all = sizes["flagged"], sizes["flagged"] + sizes["passed"]

    def is_enough(size: int) -> bool:
        drawn = hypergeom(num_all, num_flagged, size)
        return bool(drawn.sf(len(flagged)) + drawn.cdf(size - len(passed) - 1) <= _UNLIKELY)

    largest = max(size for size in range(len(flagged) + len(passed) + 1) if is_enough(size))
    of_flagged = int(hypergeom(num_all, num_flagged, largest).rvs(random_state=0))
    return [*flagged[:of_flagged], *passed[: largest - of_flagged]]


def _logits(rows: list[dict[str, Any]], columns: tuple[str, ...], temperature: float) -> np.ndarray:
    """Scores at temperature 1, up to a constant that no probability depends on."""
    probs = np.array([[row[name] for name in columns] for row in rows], dtype=np.float64).reshape(-1, len(columns))
    return temperature * np.log(probs.clip(min=np.finfo(np.float32).tiny))
