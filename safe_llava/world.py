"""What differs between the worlds in which the whole method is trained and measured."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from .answer_scoring import AnswerGrammar, score_rows
from .files import RECIPES


@dataclass(frozen=True)
class World:
    """
    A base model, the rows to train and to ask it, and how quickstart shows what came of it.

    Args:
        name (`str`): its name, which is also that of the folder of its recipes.
        data (`str`): what its rows are, in words.
        dataset (`tuple[str, str]`): type and name of its rows in a model card.
        base (`Path`): the stock LLaVA.
        conversion (`Mapping[str, Any]`): sizes of the safety modules, arguments of the conversion.
        build_dataset (`Callable[..., Dataset]`): draws rows of `(split, num_rows, seed, stage)`.
        grammar ([`~safe_llava.answer_scoring.AnswerGrammar`]): how its answers are read.
        name_rows (`Callable[[Path, dict, Path], dict]`):
            Given a recipe, the fields that it overrules and a folder to keep rows in, all fields to overrule so that
            the recipe trains on this world.
        answer_batch_size (`int`): prompts in one `generate`.
        epochs (`Mapping[str, float]`): epochs of each stage in quickstart.
        showcase_title (`str`): title of quickstart's showcase.
        showcase_kinds (`Mapping[str, str]`): the kinds of rows in it, and what they are in words.
        example_topic (`str`, *optional*):
            Topic of the risky question that quickstart leaves an image for; any if not given.
        on_other_images (`str`): what to say of an answer about an image from elsewhere.
        translations (`Mapping[str, Mapping[str, str]]`):
            What its questions are in other languages, by question and language.
    """

    name: str
    data: str
    dataset: tuple[str, str]
    base: Path
    conversion: Mapping[str, Any]
    build_dataset: Callable[..., Dataset]
    grammar: AnswerGrammar
    name_rows: Callable[[Path, dict[str, Any], Path], dict[str, Any]]
    answer_batch_size: int
    epochs: Mapping[str, float]
    showcase_title: str
    showcase_kinds: Mapping[str, str]
    on_other_images: str
    translations: Mapping[str, Mapping[str, str]]
    example_topic: str | None = None

    def recipe(self, stage: str) -> Path:
        """The YAML file of a stage."""
        return RECIPES / self.name / f"{stage}.yaml"

    def score_answers(self, dataset: Dataset, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Figures from rows and their answers; see [`~safe_llava.answer_scoring.score_rows`]."""
        return score_rows(dataset, answers, self.grammar)


def spread_kinds(shares: Mapping[str, float], num_rows: int, rng: random.Random) -> list[str]:
    """The kind of each of so many rows, shuffled: of every kind its share, rounded so that all come out."""
    kinds: list[str] = []
    total = 0.0
    for kind, share in shares.items():
        total += share
        kinds += [kind] * (round(total * num_rows) - len(kinds))
    rng.shuffle(kinds)
    return kinds
