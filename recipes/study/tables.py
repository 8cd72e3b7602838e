"""The study's results as tables, for a terminal and in Markdown."""

from typing import Any

from rich.table import Table


Columns = dict[str, tuple[str, str]]

ANSWERS: Columns = {
    "unsafe: risky": ("risky", "unsafe_answer_rate"),
    "restyled": ("restyled", "unsafe_answer_rate"),
    "pair": ("pair", "unsafe_answer_rate"),
    "attack": ("attack", "unsafe_answer_rate"),
    "over-refusal: look-alike": ("look_alike", "over_refusal_rate"),
    "pair ": ("pair", "over_refusal_rate"),
    "level 1": ("low_risk", "over_refusal_rate"),
    "clean, right": ("clean", "harmless_accuracy"),
    "text, right": ("text_only", "text_accuracy"),
}
HEAD: Columns = {
    "pair verdicts": ("pair", "pair_verdict_accuracy"),
    "pair answers": ("pair", "pair_answer_accuracy"),
    "level: risky": ("risky", "level_accuracy"),
    "level: restyled": ("restyled", "level_accuracy"),
    "type F1: risky": ("risky", "type_macro_f1"),
    "type F1: restyled": ("restyled", "type_macro_f1"),
}
TABLES: dict[str, Columns] = {"Answers": ANSWERS, "Verdicts": HEAD}
FRONTIER = ("safety", "helpfulness")


def _cell_texts(summary: dict[str, Any], columns: Columns) -> list[str]:
    texts = []
    for claim, metric in columns.values():
        figure = summary["claims"][claim].get(metric)
        texts.append("-" if figure is None else _percent(figure))
    return texts


def _percent(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{100 * figure['mean']:.1f} ({100 * low:.1f}-{100 * high:.1f})"


def rows_of(results: dict[str, Any], columns: Columns | None) -> list[list[str]]:
    """One row a cell: its name, then its figures in percent with their intervals; safety and helpfulness for None."""
    rows = []
    for name, summary in results["cells"].items():
        texts = [_percent(summary[axis]) for axis in FRONTIER] if columns is None else _cell_texts(summary, columns)
        rows.append([name, *texts])
    return rows


def headers_of(columns: Columns | None) -> list[str]:
    return ["", *(FRONTIER if columns is None else map(str.strip, columns))]


def rich_tables(results: dict[str, Any]) -> list[Table]:
    """All tables, for a terminal."""
    tables = []
    for title, columns in (*TABLES.items(), ("Frontier", None)):
        table = Table(title=f"{title}, in percent (95 % interval), synthetic scenes")
        for i, header in enumerate(headers_of(columns)):
            table.add_column(header, justify="right" if i else "left")
        for row in rows_of(results, columns):
            table.add_row(*row)
        tables.append(table)
    return tables


def markdown_tables(results: dict[str, Any]) -> str:
    """All tables, in Markdown."""
    parts = []
    for title, columns in (*TABLES.items(), ("Frontier", None)):
        headers = headers_of(columns)
        lines = [headers, ["---", *["---:"] * (len(headers) - 1)], *rows_of(results, columns)]
        parts.append(f"### {title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(parts) + "\n"
