"""The steps of a reproduction, each a command line that can be run by hand."""

import shlex
from pathlib import Path
from typing import Any

from safe_llava.model_card import EVALUATION_FILE

from ..steps.file_digests import Files
from ..steps.step_records import Step
from .reproduction_config import Reproduction, SetFiles
from .training_recipes import data_fields, files_in, recipe_of, recipe_path, stage_of


CARD = "README.md"
BESIDE_THE_MODEL = frozenset((CARD, "config.json", EVALUATION_FILE))
"""What the steps behind stage 2 write into its folder."""
LAUNCHERS = {
    0: "accelerate launch --cpu --num_processes 1",
    1: "accelerate launch --config_file recipes/accelerate/one_gpu.yaml",
}
SEVERAL_GPUS = "accelerate launch --config_file recipes/accelerate/ddp.yaml --num_processes {gpus}"


def build_steps(config: Path, whole: Reproduction) -> list[Step]:
    """
    The steps in their order.

    Args:
        config (`Path`): the reproduction's file.
        whole ([`Reproduction`]): what it says.
    """
    folder = whole.folder
    base = Files(Path(whole.base))
    converted, stage1, stage2 = (Files(folder / name) for name in ("converted", "stage1", "stage2"))
    model = Files(stage2.path, BESIDE_THE_MODEL)
    policy = Files(stage2.path / "config.json")
    calibration, evaluation = Files(folder / "calibration"), Files(folder / "evaluation")
    calibrate = {name: value for name, value in whole.calibrate.items() if name != "dataset"}
    calibrate |= {"output_dir": calibration.path}
    evaluate = {"model": stage2.path, "base": whole.base, "output_dir": evaluation.path, "seed": whole.seed}
    convert = {**whole.convert, "seed": whole.seed}
    metrics, card = Files(folder / "metrics.json"), Files(stage2.path / CARD)
    this = f"python -m recipes.reproduce.write_results --config {shlex.quote(str(config))}"
    steps = [
        *(_get(name, found) for name, found in whole.sets.items() if found.hub or found.get),
        *(_check(number, whole) for number in (1, 2)),
        Step(
            "convert",
            "the base with untrained safety modules",
            ["safe-llava", "convert", whole.base, str(converted.path), *_options(convert)],
            inputs=(base,),
            outputs=(converted,),
            folder=converted.path,
        ),
        _train(1, whole, converted, stage1),
        _train(2, whole, stage1, model),
        Step(
            "calibrate",
            "temperature and thresholds, stored in the model",
            ["safe-llava", "calibrate", str(stage2.path), whole.calibrate["dataset"], *_options(calibrate)],
            inputs=(model, *files_in(whole.calibrate)),
            outputs=(calibration, policy),
            folder=calibration.path,
        ),
        Step(
            "evaluate",
            "the model beside its base",
            ["safe-llava", "evaluate", *_options({**evaluate, "card": True, **whole.evaluate})],
            inputs=(model, policy, base, *files_in(whole.evaluate)),
            outputs=(evaluation, Files(stage2.path / EVALUATION_FILE)),
            folder=evaluation.path,
            goes_on=True,
        ),
        Step(
            "results",
            "all figures in one file, and the model's card",
            shlex.split(this),
            inputs=(converted, stage1, model, policy, calibration, evaluation),
            outputs=(metrics, card),
            values={"command": this, "data": whole.data},
        ),
    ]
    if whole.push_to is not None:
        left_out = _options({"exclude": ["checkpoint-*/*", "adapter/*"]})
        command = ["hf", "upload", whole.push_to, str(stage2.path), *left_out]
        steps.append(Step("push", "the model to the Hub", command, inputs=(model, policy, card), outputs=()))
    return steps


def _get(name: str, found: SetFiles) -> Step:
    if found.hub is None:
        command = shlex.split(str(found.get))
    else:
        wanted = _options({"include": list(found.include), "local_dir": found.root})
        command = ["hf", "download", found.hub, "--repo-type", "dataset", *wanted]
    return Step(f"get-{name}", f"{name} into {found.root}", command, (), (Files(Path(found.root)),))


def _check(number: int, whole: Reproduction) -> Step:
    recipe, folder = recipe_path(whole, number), whole.folder / f"check{number}"
    fields = data_fields(recipe_of(whole, number))
    paths = {"config": recipe, "json": folder / "figures.json", "page": folder / "page.html"}
    return Step(
        f"check{number}",
        f"the mix of stage {number}, counted by set, without duplicates and rows of benchmarks",
        ["safe-llava", "data", "check", *_options(paths)],
        inputs=tuple(files_in(stage_of(whole, number).fields)),
        outputs=(Files(folder),),
        values=fields,
        folder=folder,
        # 1 says that rows are broken or contradict others, which a recipe that skips them has agreed to.
        accepted_codes=(0, 1) if fields.get("on_bad_rows") == "skip" else (0,),
    )


def _train(number: int, whole: Reproduction, source: Files, target: Files) -> Step:
    figures = Files(whole.folder / f"check{number}" / "figures.json")
    launcher = LAUNCHERS.get(whole.gpus, SEVERAL_GPUS).format(gpus=whole.gpus)
    return Step(
        f"stage{number}",
        {1: "the safety modules", 2: "LoRA on the language model"}[number],
        [*shlex.split(launcher), "recipes/train.py", "--config", str(recipe_path(whole, number))],
        inputs=(source, figures, *files_in(stage_of(whole, number).fields)),
        outputs=(target,),
        # The same training whatever starts it: a run may go on with another number of GPUs.
        values=recipe_of(whole, number),
        folder=target.path,
        goes_on=True,
        resume_option="--resume_from_checkpoint",
    )


def _options(fields: dict[str, Any]) -> list[str]:
    """A command's options: lists are given several times, tables as NAME=VALUE."""
    words = []
    for name, value in fields.items():
        option = name.replace("_", "-")
        values = [f"{key}={item}" for key, item in value.items()] if isinstance(value, dict) else value
        for item in values if isinstance(values, list) else [values]:
            if isinstance(item, bool):
                words.append(f"--{option}" if item else f"--no-{option}")
            else:
                words += [f"--{option}", str(item)]
    return words
