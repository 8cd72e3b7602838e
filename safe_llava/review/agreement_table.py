"""What the agreement of a review says on the command line."""

from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text


_WEIGHTS = ("", "linear", "quadratic")


def print_agreement(results: dict[str, Any], output_dir: Path, console: Console | None = None) -> None:
    """
    Prints the figures that matter most, and why others are undefined.

    Args:
        results (`dict[str, Any]`): what [`compute_agreement`] returns.
        output_dir (`Path`): where agreement.json was written.
        console ([`~rich.console.Console`], *optional*): where to print. Defaults to standard output.
    """
    console = console or Console()
    overall = results["overall"]
    raters = ", ".join(f"{name} {count}" for name, count in results["raters"].items())
    _say(console, f"\n{results['num_samples']} samples, {results['num_ratings']} ratings ({raters}).")
    if results["num_superseded"]:
        _say(console, f"{results['num_superseded']} earlier ratings were corrected by later ones.")
    for line in results["cut_off_lines"]:
        _say(console, f"Note: line {line['line']} of {line['path']} was cut off and does not count: {line['text']}")
    if results["num_judged_but_not_rated"]:
        _say(
            console, f"{results['num_judged_but_not_rated']} samples of the judge were rated by nobody, and left out."
        )

    _say(console, "\nWith 95 % intervals over samples; several raters of a sample count as one:")
    console.print(_systems_table(results))
    console.print(_pairs_table(results))
    reasons: dict[str, None] = {}
    _say(console, "How far raters agree (alpha is Krippendorff's, kappa Cohen's, plain or weighted):")
    console.print(_raters_table(overall, reasons))
    for name, judge in overall["judges"].items():
        _say(
            console, f"How far {name} agrees on {judge['num_samples']} samples with the raters' mean and majority, and"
        )
        _say(console, "with each of them (rho is Spearman's, tau-b Kendall's):")
        console.print(_judge_table(judge, reasons))
    for reason in reasons:
        _say(console, f'"-": {reason}.')
    _say(console, f"\nEvery figure is in {output_dir / 'agreement.json'}.")


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _table(*headers: str) -> Table:
    table = Table(box=SIMPLE)
    for position, header in enumerate(headers):
        table.add_column(header, justify="right" if position else "left", no_wrap=position > 0)
    return table


def _add_group(table: Table, label: str) -> None:
    table.add_section()
    table.add_row(Text(label, style="bold"))


def _systems_table(results: dict[str, Any]) -> Table:
    table = _table("system", "samples", "mean score")
    for label, figures in _groups(results):
        _add_group(table, label)
        for name, system in figures["systems"].items():
            mean = system["mean_score"]
            table.add_row(_indented(name), str(mean["n"]), _number(mean))
    return table


def _pairs_table(results: dict[str, Any]) -> Table:
    table = _table("pair", "samples", "first wins %", "tie %", "second wins %")
    for label, figures in _groups(results):
        _add_group(table, label)
        for pair in figures["pairs"]:
            shares = [_percent(pair[name]) for name in ("win", "tie", "lose")]
            table.add_row(_indented(f"{pair['first']} : {pair['second']}"), str(pair["win"]["n"]), *shares)
    return table


def _groups(results: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [("all samples", results["overall"]), *results["risk_types"].items()]


def _raters_table(overall: dict[str, Any], reasons: dict[str, None]) -> Table:
    table = _table("", "scores", "preference", "risk type")
    _add_group(table, "all raters")
    _add_statistics(table, "alpha", ("nominal", "ordinal", "interval"), overall["alpha"], reasons)
    for of_pair in overall["kappa"]:
        _add_group(table, " : ".join(of_pair["raters"]))
        _add_statistics(table, "kappa", _WEIGHTS, of_pair, reasons)
    return table


def _judge_table(judge: dict[str, Any], reasons: dict[str, None]) -> Table:
    table = _table("", "scores", "preference", "risk type")
    _add_group(table, "all raters")
    for statistic, name in (("rho", "spearman"), ("tau-b", "kendall"), ("alpha, interval", "alpha_interval")):
        table.add_row(_indented(statistic), _cell(judge[name], reasons))
    table.add_row(_indented("judge minus raters"), _number(judge["score_difference"]))
    for pair in judge["pairs"]:
        table.add_row(
            _indented(f"same, {pair['first']} : {pair['second']}"), "", f"{_percent(pair['same_preference'])} %"
        )
    for of_rater in judge["kappa"]:
        _add_group(table, of_rater["rater"])
        _add_statistics(table, "kappa", _WEIGHTS, of_rater, reasons)
    return table


def _add_statistics(
    table: Table, statistic: str, kinds: tuple[str, ...], values: dict[str, Any], reasons: dict[str, None]
) -> None:
    for kind in kinds:
        names = [f"{what}_{kind}" if kind else what for what in ("scores", "preference", "risk_type")]
        label = _indented(f"{statistic}, {kind}" if kind else statistic)
        table.add_row(label, *(_cell(values.get(name), reasons) for name in names))


def _indented(label: str) -> Text:
    return Text(f"  {label}")


def _cell(estimate: dict[str, Any] | None, reasons: dict[str, None]) -> str:
    """A figure; "-" where it is undefined, whose reason is noted; nothing where it does not apply."""
    if estimate is None:
        return ""
    if estimate["value"] is None:
        reasons[estimate["reason"]] = None
        return "-"
    return f"{estimate['value']:.3f}"


def _number(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return "-"
    interval = estimate["interval"]
    return f"{estimate['value']:.2f}" + ("" if interval is None else f" ({interval[0]:.2f} to {interval[1]:.2f})")


def _percent(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return "-"
    low, high = estimate["interval"]
    return f"{100 * estimate['value']:.0f} ({100 * low:.0f}-{100 * high:.0f})"
