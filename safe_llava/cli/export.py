"""`safe-llava export`."""

from pathlib import Path
from typing import Annotated

import typer

from .options import Model, reported


def export(
    model: Model,
    onnx_file: Annotated[
        Path, typer.Argument(metavar="ONNX", help="File to write, such as guard.onnx; a folder guard comes beside it.")
    ],
    int8: Annotated[bool, typer.Option("--int8", help="8-bit weights in the matrix products.")] = False,
    scenes: Annotated[int, typer.Option(min=1, help="Drawn scenes on which it must decide as the model does.")] = 500,
) -> None:
    """Write the guard as an ONNX file and a folder that assess images without torch, as the model does."""
    with reported():
        from safe_llava.export.run_export import run_export

        results = run_export(model, onnx_file, int8=int8, scenes=scenes)
    parity, folder = results["parity"], onnx_file.with_suffix("")
    typer.echo(
        f"{onnx_file}: {results['bytes'] / 1e6:.1f} MB. It decides as {model} does in {parity['alike']} of "
        f"{parity['rows']} scenes; {folder / 'export.json'} has the others. It needs neither torch nor safe-llava:\n"
        "  pip install onnxruntime tokenizers jinja2 pillow numpy\n"
        f"  python {folder} IMAGES"
    )
