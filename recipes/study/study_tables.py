"""The study's results as tables, for a terminal and in Markdown. All figures in percent, with 95 % intervals."""

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from .run_settings import name_machines
from .study_world import Columns, StudyWorld


def rich_table(results: dict[str, Any], title: str, study: StudyWorld) -> Table:
    """One of the study's tables, for a terminal: the means, for which there is room."""
    columns = study.tables[title]
    table = Table(title=f"{title}, percent, {study.noun}")
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


def markdown_page(results: dict[str, Any], study: StudyWorld) -> str:
    """All tables, and what each cell is."""
    parts = [
        "# The alignment study: tables",
        f"{study.noun.capitalize()}, benchmark {results['benchmark_version']}, training seeds {results['seeds']}, "
        f"{name_machines(results['settings'])}. In percent, with 95 % intervals over scenes and seeds.",
    ]
    for title, columns in study.tables.items():
        parts += [f"## {title}", markdown_table(results, columns).rstrip()]
    if counted := [name for name, cell in results["cells"].items() if "cost" in cell]:
        parts += ["## Cost of an answer", cost_table(results, counted).rstrip()]
    cells = [
        f"- `{name}` ({cell['group']}): {cell['about']}{_runs(len(cell['seconds']), len(results['seeds']))}"
        for name, cell in results["cells"].items()
    ]
    return "\n\n".join([*parts, "## Cells", "\n".join(cells)]) + "\n"


def cost_table(results: dict[str, Any], cells: Iterable[str]) -> str:
    """What an answer of some cells costs, which were all counted: means, in numbers and not in percent."""
    costs = {name: results["cells"][name]["cost"] for name in cells}
    columns = next(iter(costs.values()))
    lines = [["", *(name.replace("_", " ") for name in columns)], ["---", *["---:"] * len(columns)]]
    lines += [[f"`{name}`", *(f"{count:.2f}" for count in cost.values())] for name, cost in costs.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _runs(number: int, seeds: int) -> str:
    """What is said of a cell that has fewer runs than there are seeds."""
    return "" if number == seeds else "; one run" if number == 1 else f"; {number} runs"


def _figures(cell: dict[str, Any], columns: Columns) -> list[str]:
    texts = []
    for where in columns.values():
        figure = cell[where] if isinstance(where, str) else cell["claims"][where[0]].get(where[1])
        texts.append("-" if figure is None else _percent(figure))
    return texts


def _percent(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{100 * figure['mean']:.1f} ({100 * low:.1f}-{100 * high:.1f})"
