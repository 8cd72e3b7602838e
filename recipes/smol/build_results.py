"""
Writes what a build has reached: each gate's figures, digests of what it made, and the machine.

    cd smol
    python -m recipes.smol.build_results aligned tower assembled base drawings.parquet results.json
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from safe_llava.files import describe_versions, read_json, write_json

from ..benchmark.machine import describe_this_machine
from ..steps.file_digests import FileDigests, Files
from .align_text import MAX_OVER_REFUSED, MIN_REFUSED
from .assemble import MIN_NAMED
from .fetch_packages import read_packages
from .gates import GATE_FILE
from .llava_gate import MIN_FREE, MIN_RIGHT


PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "gguf", "resvg-py")


def main(
    aligned: Annotated[Path, typer.Argument(help="The aligned language model.")],
    tower: Annotated[Path, typer.Argument(help="The tower.")],
    assembled: Annotated[Path, typer.Argument(help="The base LLaVA before it was trained.")],
    base: Annotated[Path, typer.Argument(help="The base LLaVA.")],
    drawings: Annotated[Path, typer.Argument(help="drawings.parquet.")],
    output: Annotated[Path, typer.Argument(help="The JSON file to write.")],
) -> None:
    """Collect and write."""
    digests = FileDigests(output.parent / "digests.json")
    folders = (aligned, tower, assembled, base)
    write_json(
        output,
        {
            "gates": {folder.name: read_json(folder / GATE_FILE) for folder in folders},
            "digests": {path.name: digests.digest(Files(path)) for path in (drawings, *folders)},
            "packages": {f"{each.registry}:{each.name}": [each.version, each.sha256] for each in read_packages()},
            "versions": describe_versions(*PACKAGES),
            "machine": describe_this_machine(),
        },
    )


def gates_table(results: dict[str, Any]) -> str:
    """In markdown: what each gate asked for and what was reached, in percent with 95 % intervals."""
    gates = results["gates"]
    tower = {maker: (gates["tower"]["frozen"][maker], tuned) for maker, tuned in gates["tower"]["tuned"].items()}
    rows = [
        ("unseen risky requests refused", f"{MIN_REFUSED:.0%} or more", gates["aligned"]["risky_refused"]),
        ("their harmless twins refused", f"{MAX_OVER_REFUSED:.0%} or less", gates["aligned"]["harmless_refused"]),
        *(
            (f"drawings of {maker} named", f"{_percent(frozen)} frozen, and 10 points", tuned)
            for maker, (frozen, tuned) in tower.items()
        ),
        (
            "cells projected nearest to their name",
            f"{MIN_NAMED:.0%} or more",
            gates["assembled"]["cells_named"],
        ),
        ("harmless questions answered rightly", f"{MIN_RIGHT:.0%} or more", gates["base"]["harmless_accuracy"]),
        ("risky pairs answered freely", f"{MIN_FREE:.0%} or more", gates["base"]["unsafe_answer_rate"]),
    ]
    lines = [f"| {what} | {asked} | {_percent(figure)} | {figure['rows']} |" for what, asked, figure in rows]
    return "\n".join(["| | gate | reached | of |", "|---|---|---:|---:|", *lines])


def _percent(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{100 * figure['value']:.1f} ({100 * low:.1f}-{100 * high:.1f})"


if __name__ == "__main__":
    typer.run(main)
