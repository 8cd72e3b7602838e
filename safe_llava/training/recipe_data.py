"""Loads what a recipe trains on."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset
from trl import SFTConfig

from ..data.answered_rows import keep_answered
from ..data.benchmark_leaks import TestRow
from ..data.common_columns import SOURCE
from ..data.dataset_check import DatasetCheck, check_sets
from ..data.dataset_mix import LoadedSet, mix_datasets
from ..data.image_digests import ImageDigests
from ..data.mix_entries import DatasetEntry, entry_names, load_entry, parse_entries
from ..data.mix_report import MixReport, count_rows
from ..data.mixing import mix_safety_dataset
from ..evaluation.benchmarks import BenchmarkSource, load_benchmark
from ..miniature.scene_dataset import build_dataset
from .data_arguments import DataArguments
from .recipe_fields import MINIATURE, options_of


def load_train_rows(args: DataArguments, stage: int, seed: int) -> tuple[Dataset, MixReport]:
    """
    The rows that a recipe trains on, all sets together, mixed as asked.

    Args:
        args ([`DataArguments`]): the fields of the recipe.
        stage (`int`): 1 or 2, which says how scenes of the miniature are drawn.
        seed (`int`): of what is chosen at random.

    Returns:
        `tuple[Dataset, MixReport]`

    Raises:
        ValueError: if an entry has no name, an unknown key or one without effect, if a row is bad and `on_bad_rows` is
            "raise", or if nothing is left.
    """
    benchmarks, digests = benchmark_rows(_named(args.benchmarks)), digests_for(args)
    sets = [load_set(entry, name, stage, args, digests) for name, entry in named_entries(args).items()]
    return mix_sets(sets, args, benchmarks, digests, seed)


def check_recipe(path: Path) -> DatasetCheck:
    """
    Looks at every row that a recipe would train on. What is broken is counted, whatever `on_bad_rows` says.

    Args:
        path (`Path`): the YAML file.

    Returns:
        [`~safe_llava.data.DatasetCheck`]

    Raises:
        ValueError: as [`load_train_rows`], but for broken rows.
    """
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(recipe, dict) or recipe.get("stage") not in (1, 2):
        raise ValueError(f"{path} is no recipe: it must be a YAML mapping with `stage: 1` or `stage: 2`.")
    names = {field.name for field in dataclasses.fields(DataArguments)}
    args = DataArguments(**{name: value for name, value in recipe.items() if name in names})
    args = dataclasses.replace(args, on_bad_rows="skip", check_images=True)
    seed = recipe.get("seed", SFTConfig.__dataclass_fields__["seed"].default)
    benchmarks, digests = benchmark_rows(_named(args.benchmarks)), digests_for(args)
    loaders = {
        name: partial(load_set, entry, name, recipe["stage"], args, digests)
        for name, entry in named_entries(args).items()
    }
    return check_sets(loaders, lambda sets: mix_sets(sets, args, benchmarks, digests, seed))


def named_entries(args: DataArguments) -> dict[str, DatasetEntry]:
    """The sets that a recipe names, each under a name of its own."""
    if args.datasets is not None:
        entries = parse_entries(args.datasets)
        return dict(zip(entry_names(entries), entries))
    source = str(args.dataset_name)
    options = options_of(args, source)
    only = DatasetEntry(
        source,
        root=options["root"] if source != MINIATURE else None,
        label_map=options["label_map"] if source != MINIATURE else None,
        image_folder=options["image_folder"] if source != MINIATURE else None,
        split=args.dataset_train_split if args.dataset_train_split != "train" else None,
        config_name=options["config_name"] if source != MINIATURE else args.dataset_config,
        unlabelled=None if args.unlabelled == "raise" else args.unlabelled,
        max_samples=args.max_train_samples,
    )
    return {only.name: only}


def digests_for(args: DataArguments) -> ImageDigests | None:
    """Where to keep the digests of images, if anything is to be compared."""
    if args.benchmarks:
        return ImageDigests(perceptual=True)
    is_compared = args.datasets is not None and (args.duplicates == "drop" or args.check_images)
    return ImageDigests() if is_compared else None


def load_set(
    entry: DatasetEntry, name: str, stage: int, args: DataArguments, digests: ImageDigests | None
) -> LoadedSet:
    """One set, drawn or read and checked."""
    if entry.name == MINIATURE:
        config_name = entry.config_name or f"stage{stage}"
        dataset = build_dataset(entry.split or "train", entry.max_samples or 0, stage=config_name)
        return LoadedSet(name, dataset, share=entry.share)
    dataset, report = load_entry(entry, args.on_bad_rows, args.check_images, digests)
    dataset = keep_answered(dataset) if stage == 2 else dataset
    return LoadedSet(name, dataset, report, entry.share, entry.max_samples)


def mix_sets(
    sets: list[LoadedSet],
    args: DataArguments,
    benchmarks: Mapping[str, Iterator[TestRow]],
    digests: ImageDigests | None,
    seed: int,
) -> tuple[Dataset, MixReport]:
    """The sets as one, mixed as the recipe asks."""
    is_compared = args.datasets is not None and digests is not None
    dataset, report = mix_datasets(
        sets,
        duplicates=args.duplicates if is_compared else None,
        benchmarks=benchmarks,
        digests=digests,
        seed=seed,
    )
    mixed = mix_safety_dataset(dataset, args.clean_to_risky, args.balance_by, seed)
    if mixed is not dataset:
        names = mixed[SOURCE] if len(sets) > 1 else [sets[0].name] * len(mixed)
        report.in_epoch = dict(Counter(names))
    return mixed, report


def benchmark_rows(named: Iterable[str]) -> dict[str, Iterator[TestRow]]:
    """
    The images and questions of benchmarks, read when they are needed.

    Args:
        named (`Iterable[str]`): each `NAME=PATH` or `NAME:SPLIT=PATH`, with a name of
            [`~safe_llava.evaluation.benchmarks.BENCHMARKS`].

    Raises:
        ValueError: if there is no such benchmark, or nothing at the path.
    """
    sources = [BenchmarkSource.parse(text) for text in named]
    return {source.label: _read_rows(source) for source in sources}


def _named(benchmarks: Any) -> list[str]:
    if not isinstance(benchmarks, dict | None) or not all(
        isinstance(path, str) for path in (benchmarks or {}).values()
    ):
        raise ValueError(f"`benchmarks` must be paths by the names of benchmarks, not {benchmarks!r:.80}.")
    return [f"{name}={path}" for name, path in (benchmarks or {}).items()]


def describe_sets(report: MixReport) -> str:
    """What was trained on, in a line for a model card."""
    named = [f"{_in_words(of_set.name)} ({count_rows(of_set.used)})" for of_set in report.sets]
    line = ", ".join(named) if len(named) > 1 else _in_words(report.sets[0].name)
    left_out = sum(of_set.leaks for of_set in report.sets)
    if report.leaks:
        line += f"; {count_rows(left_out)} left out that stand in {', '.join(of.benchmark for of in report.leaks)}"
    return line


def _in_words(name: str) -> str:
    return "synthetic scenes" if name == MINIATURE else name


def _read_rows(source: BenchmarkSource) -> Iterator[TestRow]:
    for row in load_benchmark(source.name, source.path, source.split):
        yield row.images, row.question
