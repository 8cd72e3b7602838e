"""The audit as one page of HTML that holds everything it shows, and in which a reviewer ticks samples."""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..data.near_duplicates import HASH_BITS, MAX_DISTINCT, group_near_duplicates
from ..files import atomic_path
from ..models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from .audit_figures import (
    MAX_REASONS,
    count_types_and_levels,
    draw_histogram,
    example_keys,
    largest_groups,
    list_notes,
    list_unreadable,
)
from .report_samples import (
    Samples,
    choose_samples,
    find_flagged,
    find_passed,
    find_untrusted,
    score_risk,
    shuffle_keys,
)


NUM_GROUPS = 12
NUM_PROBS = 2
MAX_CHARACTERS = 160
"""Of a longer question the page shows that many at first."""

SECTIONS: dict[str, str] = {
    "riskiest": "Riskiest samples",
    "flagged": "Random sample of the flagged",
    "passed": "Random sample of the passed",
}


def write_report(
    path: Path,
    table: pa.Table,
    summary: dict[str, Any],
    read_thumbnails: Callable[[list[str]], dict[str, bytes]],
    num_samples: int = 100,
    seed: int = 0,
) -> None:
    """
    Writes the page. It needs no network and no other file.

    Args:
        path (`Path`): the HTML file.
        table (`pa.Table`): one verdict a row.
        summary (`dict[str, Any]`): what `summary.json` holds.
        read_thumbnails (`Callable[[list[str]], dict[str, bytes]]`):
            Gives for keys a JPEG of at most 256 pixels a side. Samples whose key it leaves out are shown without a
            image. It is called once, with a few hundred keys.
        num_samples (`int`, *optional*, defaults to 100): samples in each of the three lists.
        seed (`int`, *optional*, defaults to 0): another one gives other random samples.
    """
    order, is_flagged = shuffle_keys(table["key"]), find_flagged(table)
    samples = choose_samples(table, num_samples=num_samples, seed=seed)
    duplicates = _find_duplicates(table, is_flagged, order)
    thumbnails = read_thumbnails(_keys_with_images(samples, duplicates["groups"]))
    sizes = {"flagged": int(is_flagged.sum()), "passed": int(find_passed(table).sum())}
    package = Path(__file__).parent
    script = (package / "audit_report.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=PackageLoader("safe_llava.audit", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        name=_name, count=_count, rows=_count_rows, percent=_percent, short=_shorten, tick=_shorten_count
    )
    page = environment.get_template("audit_report.html").render(
        summary=summary,
        facts={
            **{key: summary[key] for key in ("source", "model", "model_version", "policy_version")},
            "sizes": sizes,
        },
        samples={name: [_describe(row) for row in getattr(samples, name)] for name in SECTIONS},
        sections=SECTIONS,
        sizes=sizes,
        levels=SAFETY_LEVELS,
        counts=count_types_and_levels(table),
        histograms=_draw_histograms(table, is_flagged),
        duplicates=duplicates,
        unreadable=list_unreadable(table, order),
        untrusted_keys=example_keys(table, np.flatnonzero(find_untrusted(table).to_numpy()), order),
        notes=list_notes(table),
        max_notes=MAX_REASONS,
        images={key: base64.b64encode(image).decode() for key, image in thumbnails.items()},
        max_characters=MAX_CHARACTERS,
        style=Markup((package / "audit_report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        # The page tells the browser to run no other script than this one, whatever a key or a question may hold.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    with atomic_path(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _find_duplicates(table: pa.Table, is_flagged: np.ndarray, order: np.ndarray) -> dict[str, Any]:
    among_flagged = group_near_duplicates(table["image_hash"].filter(pa.array(is_flagged)), max_distinct=MAX_DISTINCT)
    among_all = group_near_duplicates(table["image_hash"], max_distance=0)
    return {
        "groups": largest_groups(among_flagged, np.flatnonzero(is_flagged), table, order, NUM_GROUPS),
        "num_groups": len(among_flagged),
        "num_rows": len(among_flagged.rows),
        "num_distinct": among_flagged.num_distinct,
        "max_distance": among_flagged.max_distance,
        "max_distinct": MAX_DISTINCT,
        "num_bits": HASH_BITS,
        "equal": {
            "groups": largest_groups(among_all, np.arange(table.num_rows), table, order, NUM_GROUPS),
            "num_groups": len(among_all),
            "num_rows": len(among_all.rows),
        },
    }


def _keys_with_images(samples: Samples, groups: list[dict[str, Any]]) -> list[str]:
    of_samples = [row["key"] for name in SECTIONS for row in getattr(samples, name)]
    return list(dict.fromkeys([*of_samples, *(key for group in groups for key in group["examples"])]))


def _describe(row: dict[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "level_probs": _most_probable(row, "level", SAFETY_LEVELS),
        "type_probs": _most_probable(row, "type", SAFETY_TYPES),
    }


def _most_probable(row: dict[str, Any], kind: str, names: tuple[str, ...]) -> list[tuple[str, float]]:
    """The most probable classes; none of them where the head gave no number."""
    probs = [(name, row[f"{kind}_prob_{name}"]) for name in names]
    if any(prob is None or np.isnan(prob) for _, prob in probs):
        return []
    return sorted(probs, key=lambda pair: -pair[1])[:NUM_PROBS]


def _draw_histograms(table: pa.Table, is_flagged: np.ndarray) -> dict[str, Any]:
    columns = {
        **{f"level {name}": f"level_prob_{name}" for name in SAFETY_LEVELS},
        **{_name(name): f"type_prob_{name}" for name in SAFETY_TYPES},
    }
    # Where a verdict cannot be trusted its numbers mean nothing.
    scores = score_risk(table)
    is_scored = ~np.isnan(scores)
    return {
        title: draw_histogram(values[is_scored], is_flagged[is_scored])
        for title, values in (
            ("risk score", scores),
            *((title, pc.fill_null(table[column], np.nan).to_numpy()) for title, column in columns.items()),
        )
    }


def _name(name: str) -> str:
    return name.replace("_", " ")


def _count(number: int) -> str:
    return f"{number:,}"


def _count_rows(number: int, kind: str = "") -> str:
    return f"{number:,} {kind} row{'s' if number != 1 else ''}".replace("  ", " ")


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS].rstrip()}…"


def _shorten_count(number: int) -> str:
    """A power of ten that fits beside an axis, "100k"."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number // size}{letter}"
    return str(number)
