"""What the agreement of a review says on the command line."""

from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text


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

    _say(console, "\nSystems and pairs, with 95 % intervals over samples. Several raters of a sample count as one:")
    console.print(_systems_table(results))
    console.print(_pairs_table(results))
    reasons: dict[str, None] = {}
    console.print(_agreement_table(overall, reasons))
    for name, judge in overall["judges"].items():
        _say(console, f"Judge {name}, {judge['num_samples']} samples, against people's mean scores and majorities:")
        console.print(_judge_table(judge, reasons))
    for reason in reasons:
        _say(console, f"- {reason}")
    _say(console, f"\nEvery figure is in {output_dir / 'agreement.json'}.")


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _table(*headers: str, texts: int = 1) -> Table:
    table = Table(box=SIMPLE)
    for position, header in enumerate(headers):
        table.add_column(header, justify="left" if position < texts else "right")
    return table


def _systems_table(results: dict[str, Any]) -> Table:
    table = _table("risk type", "system", "samples", "mean score", texts=2)
    for label, figures in _groups(results):
        for name, system in figures["systems"].items():
            mean = system["mean_score"]
            table.add_row(Text(label), Text(name), str(mean["n"]), _number(mean, 2))
            label = ""
        table.add_section()
    return table


def _pairs_table(results: dict[str, Any]) -> Table:
    table = _table("risk type", "pair", "samples", "first wins", "tie", "second wins", texts=2)
    for label, figures in _groups(results):
        for pair in figures["pairs"]:
            shares = [_percent(pair[name]) for name in ("win", "tie", "lose")]
            table.add_row(Text(label), Text(f"{pair['first']} - {pair['second']}"), str(pair["win"]["n"]), *shares)
            label = ""
        table.add_section()
    return table


def _groups(results: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [("all", results["overall"]), *results["risk_types"].items()]


def _agreement_table(overall: dict[str, Any], reasons: dict[str, None]) -> Table:
    table = _table("agreement of", "statistic", "scores", "preference", "risk type", texts=2)
    alphas = overall["alpha"]
    for level in ("nominal", "ordinal", "interval"):
        values = [alphas.get(f"{what}_{level}") for what in ("scores", "preference", "risk_type")]
        table.add_row("all raters", f"Krippendorff's alpha, {level}", *(_cell(value, reasons) for value in values))
    for of_pair in overall["kappa"]:
        _add_kappas(table, " - ".join(of_pair["raters"]), of_pair, reasons)
    return table


def _judge_table(judge: dict[str, Any], reasons: dict[str, None]) -> Table:
    table = _table("agreement with", "statistic", "scores", "preference", "risk type", texts=2)
    for statistic, name in (
        ("Spearman's rho", "spearman"),
        ("Kendall's tau-b", "kendall"),
        ("Krippendorff's alpha, interval", "alpha_interval"),
    ):
        table.add_row("people", statistic, _cell(judge[name], reasons), "", "")
    table.add_row("people", "judge's score minus theirs", _number(judge["score_difference"], 2), "", "")
    for pair in judge["pairs"]:
        names = f"{pair['first']} - {pair['second']}"
        table.add_row("people", Text(f"same preference, {names}"), "", _percent(pair["same_preference"]), "")
    for of_rater in judge["kappa"]:
        _add_kappas(table, of_rater["rater"], of_rater, reasons)
    return table


def _add_kappas(table: Table, who: str, kappas: dict[str, Any], reasons: dict[str, None]) -> None:
    for weights in ("", "_linear", "_quadratic"):
        values = [kappas.get(f"{what}{weights}") for what in ("scores", "preference", "risk_type")]
        statistic = f"Cohen's kappa{weights.replace('_', ', ')}"
        table.add_row(Text(who), statistic, *(_cell(value, reasons) for value in values))


def _cell(estimate: dict[str, Any] | None, reasons: dict[str, None]) -> str:
    """A figure; "-" where it is undefined, whose reason is noted; nothing where it does not apply."""
    if estimate is None:
        return ""
    if estimate["value"] is None:
        reasons[estimate["reason"]] = None
        return "-"
    return f"{estimate['value']:.3f}"


def _number(estimate: dict[str, Any], digits: int) -> str:
    if estimate["value"] is None:
        return "-"
    return f"{estimate['value']:.{digits}f}{_interval(estimate, f'.{digits}f')}"


def _percent(estimate: dict[str, Any]) -> str:
    return "-" if estimate["value"] is None else f"{estimate['value']:.1%}{_interval(estimate, '.1%')}"


def _interval(estimate: dict[str, Any], form: str) -> str:
    if estimate["interval"] is None:
        return ""
    low, high = estimate["interval"]
    return f" ({low:{form}} to {high:{form}})"
