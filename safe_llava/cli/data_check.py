"""`safe-llava data check`."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .options import reported


class Unlabelled(str, Enum):
    clean = "clean"
    ignore = "ignore"


def check(
    source: Annotated[
        str | None,
        typer.Argument(metavar="[SOURCE]", help="A file, a folder, a Hub id or a set known by its name."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A recipe's YAML file, in place of SOURCE.")
    ] = None,
    root: Annotated[str | None, typer.Option(help="Where a set lies that is known by its name.")] = None,
    image_folder: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder of the images that JSON or csv name.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of a folder or Hub dataset; default: train.")] = None,
    config_name: Annotated[str | None, typer.Option(help="Configuration of a Hub dataset.")] = None,
    unlabelled: Annotated[Unlabelled | None, typer.Option(help="What rows without labels are.")] = None,
    label_map: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="YAML file with what the set's categories mean.")
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH",
            help="A benchmark that must not be trained on, and where it lies, or with a split NAME:SPLIT=PATH; may be "
            "given several times.",
        ),
    ] = None,
    page: Annotated[
        Path | None, typer.Option(dir_okay=False, help="HTML file that gets the figures and ten samples.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", dir_okay=False, help="File that gets the figures.")] = None,
) -> None:
    """
    Look at every row of a set, or of a recipe, and say what would be trained on.

    Exit code 0: every row can be trained on, but for rows of benchmarks and duplicates, which a recipe leaves out; 1:
    rows are broken or contradict each other, or the source cannot be read.
    """
    if (source is None) == (config is None):
        raise typer.BadParameter("give either SOURCE or --config")
    if config is not None:
        given = (root, image_folder, split, config_name, unlabelled, label_map, benchmark)
        if any(value is not None for value in given):
            raise typer.BadParameter("a recipe says itself where its sets and benchmarks are; give --config alone")
    with reported():
        from safe_llava.data import check_dataset
        from safe_llava.data.check_page import write_check_page
        from safe_llava.files import check_outputs, write_json
        from safe_llava.training.recipe_data import benchmark_rows, check_recipe

        inputs = [Path(path) for path in (source, config, label_map) if path is not None]
        check_outputs(inputs, {"--page": (page, b"<!doctype html"), "--json": (json, b'{\n  "rows":')})
        if config is not None:
            found = check_recipe(config)
        else:
            found = check_dataset(
                str(source),
                root,
                image_folder=image_folder,
                split=split,
                config_name=config_name,
                unlabelled=None if unlabelled is None else unlabelled.value,
                label_map=label_map,
                benchmarks=benchmark_rows(benchmark or []),
            )
        if page is not None:
            write_check_page(page, found, str(config or source))
        if json is not None:
            write_json(json, found.to_dict())
    typer.echo(str(found))
    if page is not None:
        typer.echo(f"Look at {page}.")
    if found.problems:
        for problem in found.problems:
            typer.secho(f"Error: {problem}", fg="red", err=True)
        raise typer.Exit(1)
