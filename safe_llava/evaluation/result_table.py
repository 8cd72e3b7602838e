"""The one table of an evaluation: model against base, judge failures and cost."""

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from rich.table import Table


COLUMNS = ("benchmark", "figure", "rows", "model", "base", "model - base")
NOTE = (
    "95 % intervals in brackets: Wilson's for shares, the paired bootstrap for differences, which is empty where all "
    "rows differ alike. Seconds are of one model after the other, as the machine was then."
)


def table_rows(results: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """
    The cells of the table, in the order of `COLUMNS`.

    Args:
        results (`Mapping`): of [`~safe_llava.evaluation.run_evaluation.run_evaluation`].

    Returns:
        `list[tuple[str, ...]]`: a tuple for each row.
    """
    rows: list[tuple[str, ...]] = []
    for name, found in results["benchmarks"].items():
        rows += [(name, *cells) for cells in _benchmark_rows(found)]
    utility = results["utility"] or {"model": {}}
    for task in utility["model"]:
        rows += [(task, *cells) for cells in _utility_rows(task, utility)]
    return rows


def rich_table(results: Mapping[str, Any]) -> Table:
    """
    The table for a terminal.

    Args:
        results (`Mapping`): of [`~safe_llava.evaluation.run_evaluation.run_evaluation`].

    Returns:
        [`~rich.table.Table`]
    """
    table = Table(title=title(results), caption=NOTE)
    for place, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if place < 2 else "right", overflow="fold")
    previous = None
    for row in table_rows(results):
        if previous not in (None, row[0]):
            table.add_section()
        table.add_row("" if row[0] == previous else row[0], *(cell.replace("[", "\\[") for cell in row[1:]))
        previous = row[0]
    return table


def title(results: Mapping[str, Any]) -> str:
    """
    What was compared, and which model judged.

    Args:
        results (`Mapping`): of [`~safe_llava.evaluation.run_evaluation.run_evaluation`].

    Returns:
        `str`: one line.
    """
    names = [PurePath(results[label]["model"]).name for label in ("model", "base")]
    drawn = f", {results['limit']} rows of each, seed {results['seed']}" if results["limit"] else ""
    return f"{names[0]} beside its base {names[1]}; judge: {results['judge'] or 'none asked'}{drawn}"


def _benchmark_rows(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for figure in found["figures"]:
        scale = 100.0 if figure["is_share"] else 1.0
        values = [_with_interval(figure[label], scale) for label in ("model", "base")]
        difference = _with_interval(figure["difference"], scale, signed=True)
        yield _arrow(figure["label"], figure["higher_is_better"]), str(figure["model"]["rows"]), *values, difference
    if left_out := found["settings"]["left_out"]:
        yield "left out, without a question", str(len(left_out)), "", "", ""
    for scorer, ours in found["judge_failures"]["model"].items():
        theirs = found["judge_failures"]["base"][scorer]
        yield f"judge failed, {scorer}", str(ours["asked"]), *map(_failures, (ours, theirs)), ""
    if verdicts := found["verdicts"]:
        for harm in ("harmful", "harmless"):
            if verdicts[f"flagged_{harm}"] is not None:
                yield f"flagged by the policy, {harm}", "", f"{verdicts[f'flagged_{harm}']:.1%}", "-", ""
        if verdicts["auroc"] is not None:
            yield "AUROC of the head, harmful", str(verdicts["rows"]), f"{verdicts['auroc']:.3f}", "-", ""
        if verdicts["untrusted"]:
            yield "untrusted verdicts", str(verdicts["rows"]), str(verdicts["untrusted"]), "-", ""
    ours, theirs = found["cost"]["model"], found["cost"]["base"]
    for label, name in (("seconds an answer", "seconds"), ("new tokens an answer", "output_tokens")):
        yield _cost_row(label, ours["rows"], ours[name] / ours["rows"], theirs[name] / theirs["rows"])
    if ours["vision_passes"] is not None:
        passes = [f"{cost['vision_passes']:.2f}" for cost in (ours, theirs)]
        yield "vision passes an image", "", *passes, ""


def _utility_rows(task: str, utility: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    ours, theirs = utility["model"][task], utility["base"][task]
    for name, figure in ours["figures"].items():
        difference = utility["difference"][task].get(name)
        values = [f"{found['figures'][name]['value']:.4g}" for found in (ours, theirs)]
        paired = "" if difference is None else _with_interval(difference, 1.0, signed=True)
        yield _arrow(name, figure["higher_is_better"]), str(ours["samples"]), *values, paired
    refused = ours["policy"]["refuse"]
    yield "refused by the policy", str(ours["samples"]), f"{refused['samples'] / ours['samples']:.1%}", "-", ""
    for label, name in (("seconds an answer", "seconds"), ("new tokens an answer", "new_tokens")):
        yield _cost_row(label, ours["samples"], ours[name] / ours["samples"], theirs[name] / theirs["samples"])


def _cost_row(label: str, rows: int, ours: float, theirs: float) -> tuple[str, ...]:
    return label, str(rows), f"{ours:.3g}", f"{theirs:.3g}", f"x {ours / theirs:.2f}" if theirs else ""


def _with_interval(figure: Mapping[str, Any] | None, scale: float, signed: bool = False) -> str:
    if figure is None:
        return "-"
    sign = "+" if signed else ""
    ends = figure["interval"] or ()
    if scale == 100:
        value, texts = f"{100 * figure['value']:{sign}.1f}%", [f"{100 * end:.1f}" for end in ends]
    else:
        value, texts = f"{figure['value']:{sign}.4g}", [f"{end:.4g}" for end in ends]
    return f"{value} [{', '.join(texts)}]" if texts else value


def _arrow(label: str, higher_is_better: bool | None) -> str:
    return label if higher_is_better is None else f"{label} {'↑' if higher_is_better else '↓'}"


def _failures(found: Mapping[str, Any]) -> str:
    return f"{found['failures'] / found['asked']:.1%}" if found["asked"] else "-"
