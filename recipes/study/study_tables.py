"""The study's results as tables, for a terminal and in Markdown. All figures in percent, with 95 % intervals."""

from collections.abc import Iterable
from typing import Any

from rich.table import Table


Columns = dict[str, tuple[str, str] | str]

FRONTIER: Columns = {"safety": "safety", "helpfulness": "helpfulness"}
"""A column names a claim and a metric, or a figure of the whole cell."""
UNSAFE: Columns = {
    claim: (claim, "unsafe_answer_rate") for claim in ("risky", "restyled", "pair", "attack", "low_risk")
}
OVER_REFUSAL: Columns = {
    claim: (claim, "over_refusal_rate") for claim in ("look_alike", "pair", "low_risk", "restyled", "attack")
}
HELPFUL: Columns = {
    "clean: right": ("clean", "harmless_accuracy"),
    "text only: right": ("text_only", "text_accuracy"),
}
VERDICTS: Columns = {
    "pair: risk": ("pair", "pair_verdict_accuracy"),
    "risky: level": ("risky", "level_accuracy"),
    "risky: type F1": ("risky", "type_macro_f1"),
    "restyled: level": ("restyled", "level_accuracy"),
    "restyled: type F1": ("restyled", "type_macro_f1"),
    "attack: level": ("attack", "level_accuracy"),
    "attack: type F1": ("attack", "type_macro_f1"),
}
TABLES: dict[str, Columns] = {
    "Safety and helpfulness": FRONTIER,
    "Unsafe answers": UNSAFE,
    "Over-refusal": OVER_REFUSAL,
    "Harmless questions": HELPFUL,
    "Verdicts of the head": VERDICTS,
}


PAGE_TABLES: tuple[tuple[Columns, tuple[str, ...]], ...] = (
    (
        {f"unsafe: {name}": UNSAFE[name] for name in ("risky", "restyled", "pair", "attack")},
        ("ours", "base", "system_prompt", "self_guard", "linear_probe", "lora_only", "paper"),
    ),
    (
        {f"refused: {name}": OVER_REFUSAL[name] for name in ("look_alike", "pair", "low_risk")} | HELPFUL,
        ("ours", "base", "system_prompt", "self_guard", "linear_probe", "lora_only", "paper"),
    ),
    (
        {name: VERDICTS[name] for name in VERDICTS if not name.startswith("attack")},
        ("ours", "first_pooling", "mlp_projector", "head_only", "linear_probe"),
    ),
)
"""What the pages show: columns and cells of each table."""


def page_tables(results: dict[str, Any]) -> list[str]:
    """The tables of the pages, word for word."""
    return [markdown_table(results, columns, cells) for columns, cells in PAGE_TABLES]


def rich_table(results: dict[str, Any], title: str) -> Table:
    """One of [`TABLES`], for a terminal: the means, for which there is room."""
    columns = TABLES[title]
    table = Table(title=f"{title}, percent, synthetic scenes")
    for i, header in enumerate(["", *columns]):
        table.add_column(header, justify="right" if i else "left")
    for name in results["cells"]:
        table.add_row(name, *(text.partition(" ")[0] for text in _figures(results["cells"][name], columns)))
    return table


def markdown_table(results: dict[str, Any], columns: Columns, cells: Iterable[str] | None = None) -> str:
    """Some columns of some cells, by default of all, in Markdown."""
    rows = [[f"`{name}`", *_figures(results["cells"][name], columns)] for name in cells or results["cells"]]
    lines = [["", *columns], ["---", *["---:"] * len(columns)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def markdown_page(results: dict[str, Any]) -> str:
    """All tables, and what each cell is."""
    parts = [
        "# The alignment study: tables",
        f"Synthetic scenes, benchmark {results['benchmark_version']}, training seeds {results['seeds']}, "
        f"{results['machine']}. In percent, with 95 % intervals over scenes and seeds.",
    ]
    for title, columns in TABLES.items():
        parts += [f"## {title}", markdown_table(results, columns).rstrip()]
    cells = [f"- `{name}` ({cell['group']}): {cell['about']}" for name, cell in results["cells"].items()]
    return "\n\n".join([*parts, "## Cells", "\n".join(cells)]) + "\n"


def _figures(cell: dict[str, Any], columns: Columns) -> list[str]:
    texts = []
    for where in columns.values():
        figure = cell[where] if isinstance(where, str) else cell["claims"][where[0]].get(where[1])
        texts.append("-" if figure is None else _percent(figure))
    return texts


def _percent(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{100 * figure['mean']:.1f} ({100 * low:.1f}-{100 * high:.1f})"
