"""
Writes what a build has reached: each gate's figures, digests of what it made, and the machine.

    python -m recipes.smol.build_results smol/aligned smol/tower smol/base smol/drawings.parquet smol/results.json
"""

from pathlib import Path
from typing import Annotated

import typer

from safe_llava.files import describe_versions, read_json, write_json

from ..benchmark.machine import describe_this_machine
from ..steps.file_digests import FileDigests, Files
from .fetch_packages import read_packages
from .gates import GATE_FILE


PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "gguf", "resvg-py")


def main(
    aligned: Annotated[Path, typer.Argument(help="The aligned language model.")],
    tower: Annotated[Path, typer.Argument(help="The tower.")],
    base: Annotated[Path, typer.Argument(help="The base LLaVA.")],
    drawings: Annotated[Path, typer.Argument(help="drawings.parquet.")],
    output: Annotated[Path, typer.Argument(help="The JSON file to write.")],
) -> None:
    """Collect and write."""
    digests = FileDigests(output.parent / "digests.json")
    write_json(
        output,
        {
            "gates": {folder.name: read_json(folder / GATE_FILE) for folder in (aligned, tower, base)},
            "digests": {path.name: digests.digest(Files(path)) for path in (drawings, aligned, tower, base)},
            "packages": {f"{each.registry}:{each.name}": [each.version, each.sha256] for each in read_packages()},
            "versions": describe_versions(*PACKAGES),
            "machine": describe_this_machine(),
        },
    )


if __name__ == "__main__":
    typer.run(main)
