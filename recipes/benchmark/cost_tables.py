"""The results as tables for a terminal, and for a page."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from .answering_ways import WAYS
from .cost_ratios import BOUNDS


LEAST = {"least_answering": "least possible, no hint", "least_hinting": "least possible, with the hint"}


def count_table(results: dict[str, Any]) -> Table:
    """FLOPs, counted."""
    flops = results["flops"]
    table = Table(title=f"{results['shape']}: GFLOP counted, {results['answer_tokens_counted']} tokens answered")
    for header in ("", "first token", "over stock", "answer", "over stock", "in the design"):
        table.add_column(header, justify="left" if not header else "right")
    for way, label in (WAYS | LEAST).items():
        cells = [label]
        for part in ("first_token", "answer"):
            cells += [f"{flops[way][part] / 1e9:.1f}", f"{flops[way][part] / flops['stock'][part] - 1:+.1%}"]
        designed = results["design_over_stock"].get(way)
        table.add_row(*cells, "" if designed is None else f"{designed:+.1%}")
    parameters = results["parameters"]
    added = parameters["added"] / parameters["stock"]
    table.caption = (
        f"{parameters['added'] / 1e6:.1f} M parameters added to {parameters['stock'] / 1e6:.1f} M: {added:.1%}"
    )
    return table


def time_table(results: dict[str, Any], batch_size: str) -> Table:
    """Ratios to stock, and peak memory."""
    table = Table(
        title=f"{results['shape']}, batch {batch_size}: ratios to stock, median (range) of {results['rounds']} rounds",
        caption=f"{results['machine']}, {results['threads']} threads, {results['dtype']}, random weights",
    )
    for header in ("", "first token", "tokens/s after it", f"answer, {results['new_tokens']} tokens", "peak MiB"):
        table.add_column(header, justify="left" if not header else "right")
    timed = results["timings"][batch_size]
    for way, label in WAYS.items():
        cells = _time_cells(timed, way)
        peak = timed.get("peak_bytes", {}).get(way)
        table.add_row(label, *cells, "" if peak is None else f"{peak / 2**20:.0f}")
    return table


def bound_table(results: dict[str, Any], batch_size: str) -> Table:
    """The ratios that something is promised about."""
    table = Table(title=f"{results['shape']}, batch {batch_size}")
    for header in ("", "ratio", "promised"):
        table.add_column(header, justify="left" if not header else "right")
    for name, values in results["timings"][batch_size]["ratios"].items():
        bound = BOUNDS.get(name, {}).get(results["shape"])
        word = "at least" if name.startswith("tokens per second") else "at most"
        table.add_row(name, _in_words(values), "" if bound is None else f"{word} {bound}")
    return table


def page_table(timed: dict[str, Any], counted: dict[str, Any]) -> str:
    """In markdown: times and memory of one shape at batch 1, FLOPs of a shape that was counted alone."""
    times, flops = timed["timings"]["1"], counted["flops"]
    measured = ("first token", "tokens/s after it", f"{timed['new_tokens']}-token answer", "peak memory")
    columns = [f"{timed['shape']}: {name}" for name in measured]
    columns += [f"7B: FLOPs, {name}" for name in ("first token", f"{counted['answer_tokens_counted']}-token answer")]
    rows = ["| over stock LLaVA | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for way, label in (WAYS | LEAST).items():
        if way == "stock":
            continue
        peak = times["peak_bytes"].get(way)
        cells = [*_time_cells(times, way), "" if peak is None else f"{peak / times['peak_bytes']['stock']:.2f}"]
        cells += [f"{flops[way][part] / flops['stock'][part] - 1:+.1%}" for part in ("first_token", "answer")]
        rows.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def counted_table(counted: Mapping[str, dict[str, Any]]) -> str:
    """In markdown: FLOPs of a whole answer at shapes that were counted alone."""
    rows = ["| FLOPs of an answer over stock | " + " | ".join(counted) + " |", "|---|" + "---:|" * len(counted)]
    for way, label in (WAYS | LEAST).items():
        if way != "stock":
            flops = [results["flops"] for results in counted.values()]
            cells = [f"{each[way]['answer'] / each['stock']['answer'] - 1:+.1%}" for each in flops]
            rows.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _time_cells(timed: dict[str, Any], way: str) -> list[str]:
    figures = timed["over_stock"].get(way, {})
    names = ("first_token_seconds", "tokens_per_second", "answer_seconds")
    return [_in_words(figures[name]) if name in figures else "" for name in names]


def _in_words(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})"
