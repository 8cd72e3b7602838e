"""`safe-llava convert`."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .options import DType, reported


_RECIPES = {
    "safe_llava": {"llava-1.5-13b": 9.0, "llava-1.5-7b": 3.0, "smol": 0.02, "miniature": 0.0},
    "safe_llava_next": {"llava-next-7b": 0.0},
    "safe_llava_onevision": {"llava-onevision-7b": 2.0, "llava-onevision-0.5b": 0.0},
}
"""From how many billions of parameters in the language model's layers a recipe fits, by kind of model."""


def nearest_recipe(num_layers: int, width: int, model_type: str = "safe_llava") -> tuple[str, float]:
    """The recipe for a language model of so many layers of this width, and its billions of parameters, roughly."""
    # Four attention matrices and the feed-forward of a layer take about twelve times its width squared.
    billions = 12 * num_layers * width**2 / 1e9
    return next(name for name, least in _RECIPES[model_type].items() if billions >= least), billions


class Projector(str, Enum):
    c_abstractor = "c_abstractor"
    mlp = "mlp"


class ProjectorInit(str, Enum):
    random = "random"
    llava = "llava"


class Tiles(str, Enum):
    base = "base"
    all = "all"


class Pooling(str, Enum):
    question = "question"
    first = "first"


def convert(
    source: Annotated[str, typer.Argument(help="LLaVA-1.5, -NeXT or -OneVision: a folder or a Hub id.")],
    output: Annotated[Path, typer.Argument(help="Folder to write; new or empty.")],
    num_safety_tokens: Annotated[int, typer.Option(min=0, help="Safety tokens in each of the two sets.")] = 64,
    safety_projector_type: Annotated[Projector, typer.Option(help="Safety projector.")] = Projector.c_abstractor,
    safety_projector_init: Annotated[
        ProjectorInit, typer.Option(help="How it begins; llava copies the LLaVA's own projector to an mlp.")
    ] = ProjectorInit.random,
    num_safety_visual_tokens: Annotated[int, typer.Option(help="Visual tokens Q of the C-Abstractor.")] = 576,
    safety_head_pooling: Annotated[Pooling, typer.Option(help="Text query of the head.")] = Pooling.question,
    safety_tiles: Annotated[Tiles, typer.Option(help="Tiles that the head reads of an image.")] = Tiles.base,
    dtype: Annotated[DType, typer.Option(help="Cast all weights; auto keeps each as it is.")] = DType.auto,
    max_shard_size: Annotated[str, typer.Option(help="Largest weight file.")] = "2GB",
    chat_template: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Jinja file, in place of the source's template.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the new modules' weights.")] = 0,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub source.")] = None,
) -> None:
    """Turn a LLaVA checkpoint into a SafeLLaVA checkpoint with untrained safety modules."""
    with reported():
        import torch

        from safe_llava.checkpoints import read_config
        from safe_llava.conversion import convert_llava_checkpoint

        convert_llava_checkpoint(
            source,
            output,
            num_safety_tokens=num_safety_tokens,
            safety_projector_type=safety_projector_type.value,
            safety_projector_init=safety_projector_init.value,
            num_safety_visual_tokens=num_safety_visual_tokens,
            safety_head_pooling=safety_head_pooling.value,
            safety_tiles=safety_tiles.value,
            dtype=None if dtype is DType.auto else getattr(torch, dtype.value),
            max_shard_size=max_shard_size,
            chat_template=None if chat_template is None else chat_template.read_text(encoding="utf-8"),
            seed=seed,
            revision=revision,
        )
        config = read_config(output)
        text = config.text_config
    typer.echo(f"Wrote {output}. Every stock weight is as it was; the safety modules are untrained.")
    recipe, billions = nearest_recipe(text.num_hidden_layers, text.hidden_size, config.model_type)
    typer.echo(
        f"Next, train stage 1, here with the recipe nearest to {billions:.2g} billion parameters, on your rows:\n"
        f"accelerate launch recipes/train.py --config recipes/{recipe}/stage1.yaml "
        f"--model_name_or_path {output} --output_dir {output}-stage1 --dataset_name ROWS --image_folder IMAGES"
    )
