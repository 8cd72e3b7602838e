"""The calibration as one page of HTML that holds everything it shows."""

from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from ..files import atomic_path
from ..models.safety_labels import RISK_TYPES, SAFETY_LEVELS, SAFETY_TYPES
from ..statistics import NUM_BINS
from .calibration_figures import known_top_label, one_versus_rest, summarize
from .calibration_plots import draw_confusion, draw_precision_recall, draw_reliability, draw_roc
from .fit import Calibration
from .guarantee_notes import describe_left_out
from .thresholds import LOWEST


def write_report(calibration: Calibration, path: Path, facts: dict[str, Any]) -> None:
    """
    Writes the page. It needs no network and no other file.

    Args:
        calibration ([`Calibration`]): from [`calibrate_policy`].
        path (`Path`): the HTML file.
        facts (`dict[str, Any]`):
            Where the figures come from: `model`, `dataset`, `split`, `left_out` (counts by reason) and `versions`.
    """
    figures = summarize(calibration)
    environment = Environment(
        loader=PackageLoader("safe_llava.calibration", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(percent=_percent, share=_share, name=_name, number=_number)
    page = environment.get_template("calibration_report.html").render(
        facts=facts,
        figures=figures,
        head={name: _draw_head(calibration, name) for name in ("level", "type")},
        confusions={
            "levels": draw_confusion(figures["confusion"]["levels"], SAFETY_LEVELS),
            "types": draw_confusion(figures["confusion"]["types"], SAFETY_TYPES),
        },
        curves={name: _draw_type(calibration, index) for index, name in enumerate(RISK_TYPES)},
        min_examples=calibration.min_examples,
        num_bins=NUM_BINS,
        lowest=LOWEST,
        left_out=describe_left_out(facts["left_out"]),
    )
    with atomic_path(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _draw_head(calibration: Calibration, name: str) -> str:
    labels = getattr(calibration.rows, name)
    before, after = (
        known_top_label(outcome, name, labels) for outcome in (calibration.before, calibration.cross_fitted)
    )
    return draw_reliability(before, after, f"probability of the chosen {name}")


def _draw_type(calibration: Calibration, index: int) -> dict[str, str | None]:
    labels, rule = calibration.rows.type, calibration.policy.types[RISK_TYPES[index]]
    before, after, fitted = (
        one_versus_rest(outcome, index, labels)
        for outcome in (calibration.before, calibration.cross_fitted, calibration.after)
    )
    threshold = rule["threshold"] if rule["enabled"] else None
    has_both = np.unique(labels == index).size == 2
    return {
        "reliability": draw_reliability(before, after, "probability of the type"),
        "roc": draw_roc(*fitted, threshold) if has_both else None,
        "precision_recall": draw_precision_recall(*fitted, threshold) if has_both else None,
    }


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _share(share: dict[str, Any] | None) -> str:
    """A share with its interval, "1.2 % [0.5 %, 2.9 %]"; a dash where there were no rows."""
    if share is None:
        return "-"
    low, high = share["interval"]
    return f"{share['share']:.1%} [{low:.1%}, {high:.1%}]"


def _name(name: str) -> str:
    return name.replace("_", " ")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
