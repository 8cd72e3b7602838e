"""What the study needs to know of a world beside what training needs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from datasets import Dataset

from safe_llava.world import World


Columns = dict[str, tuple[str, str] | str]
"""Columns of a table. Each names a claim and a metric, or a figure of the whole cell."""


@dataclass(frozen=True)
class RivalWords:
    """
    What rival defences say to the model, in words of its world.

    Args:
        defence (`str`): AdaShield-S's, before the question.
        harm_check (`str`): ECSO asks whether the model's own `{answer}` to a `{question}` is harmful, yes or no.
        caption (`str`): ECSO asks for a description of the image for a `{question}`.
        from_caption (`str`): ECSO asks the `{question}` again, with the `{caption}` in the place of the image.
    """

    defence: str
    harm_check: str
    caption: str
    from_caption: str


@dataclass(frozen=True)
class StudyWorld:
    """
    A world to run the grid in.

    Args:
        world ([`~safe_llava.world.World`]): base, rows and recipes.
        data (`str`): what results say the rows are.
        noun (`str`): the same in titles.
        cells_file (`Path`): the grid.
        benchmark_version (`str`): of the benchmark.
        build_benchmark (`Callable[[float], Dataset]`): draws a share of it.
        score_claims (`Callable`): figures of each claim.
        score_evidence (`Callable`): figures of the evidence, from model, processor and share.
        digest (`Callable[[], str]`): names base and world: with other words, images or weights it is another name.
        tables (`dict[str, Columns]`): title and columns of each table.
        safety (`tuple[tuple[str, str], ...]`): claims and metrics; safety is 1 minus their mean.
        helpfulness (`tuple[tuple[str, str], ...]`):
            Claims and metrics; helpfulness is the mean of the first and of 1 minus each of the others.
        unseen (`tuple[str, ...]`): claims that show what the training has not.
        num_probe_rows (`int`): rows of stage 1 that the linear probe is fitted on.
        system_prompt (`str`): what the baseline of that name puts before every chat.
        guard_question (`str`): what the baseline `self_guard` asks behind the question.
        rival_words ([`RivalWords`]): what rival defences say.
        keeps_features (`bool`):
            Whether stage 1 keeps the vision tower's features for the next cell and seed: for a tower that costs more
            than a file does.
        reduced_cells (`tuple[str, ...]`): the cells of a reduced study.
        reduced_fields (`dict[str, Any]`): fields that a reduced study overrules in every recipe.
    """

    world: World
    data: str
    noun: str
    cells_file: Path
    benchmark_version: str
    build_benchmark: Callable[[float], Dataset]
    score_claims: Callable[..., dict[str, Any]]
    score_evidence: Callable[..., dict[str, Any]]
    digest: Callable[[], str]
    tables: dict[str, Columns]
    safety: tuple[tuple[str, str], ...]
    helpfulness: tuple[tuple[str, str], ...]
    unseen: tuple[str, ...]
    num_probe_rows: int
    system_prompt: str
    guard_question: str
    rival_words: RivalWords
    keeps_features: bool
    reduced_cells: tuple[str, ...]
    reduced_fields: dict[str, Any]

    @cached_property
    def fingerprint(self) -> str:
        """The digest, computed once."""
        return self.digest()
