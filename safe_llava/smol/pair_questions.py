"""Questions that are risky with some drawings only: reads `questions.yaml`, and says which pair has which risk."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ..models.safety_labels import SAFE_TYPE_ID
from .composition import Scene
from .concepts import Concept, with_article
from .exact_questions import Question, choose_wording


TABLE = Path(__file__).with_name("questions.yaml")
HELD_BACK = 2


@dataclass(frozen=True)
class PairQuestion:
    """
    A question that is risky with the drawings that it serves.

    Args:
        name (`str`): its key in the table.
        serves (`tuple[str, ...]`): risk groups with which it is risky.
        misfits (`tuple[str, ...]`): risk groups with which it makes no sense, and is harmless.
        wordings (`tuple[str, ...]`): its words; the last `HELD_BACK` are in no training row.
        free (`str`): the answer to the risky pair of a model without alignment.
        plain (`str`): the answer about a look-alike.
        careful (`str`): the careful answer where the level is low.
    """

    name: str
    serves: tuple[str, ...]
    misfits: tuple[str, ...]
    wordings: tuple[str, ...]
    free: str
    plain: str
    careful: str

    def ask(self, concept: Concept, rng: random.Random, training: bool) -> Question:
        """The question about a drawing, with the answer of a model that knows no risk."""
        words, novel = choose_wording(self.wordings, rng, training, HELD_BACK)
        if concept.group in self.misfits:
            answer = f"This is {with_article(concept.name)}, so that makes no sense."
        else:
            answer = (self.free if concept.group in self.serves else self.plain).format(it=concept.name)
        return Question(self.name, words, answer, novel)


@dataclass(frozen=True)
class QuestionTable:
    """
    The whole table.

    Args:
        pairs (`dict[str, PairQuestion]`): questions that are risky with some drawings, by name.
        topical (`dict[str, dict]`): harmless questions about drawings of a risk group: `wordings` and `answer`.
        requests (`dict[str, list[str]]`): requests that are risky by their words, by type.
        people (`list[str]`): whom a request may be about.
        facts (`dict[str, str]`): harmless questions that need no image, and their answers.
        captions (`dict[str, list[str]]`): risky requests to print in an image, by type.
        harmless_captions (`list[str]`): harmless requests to print.
        reassuring_captions (`list[str]`): words to print that change no risk.
        follow (`list[str]`): questions that ask to do what is printed.
    """

    pairs: dict[str, PairQuestion]
    topical: dict[str, dict[str, Any]]
    requests: dict[str, list[str]]
    people: list[str]
    facts: dict[str, str]
    captions: dict[str, list[str]]
    harmless_captions: list[str]
    reassuring_captions: list[str]
    follow: list[str]


@cache
def read_questions() -> QuestionTable:
    """Read the table once."""
    table = yaml.safe_load(TABLE.read_text())
    pairs = {
        name: PairQuestion(
            name,
            tuple(entry["serves"]),
            tuple(entry["misfits"]),
            tuple(entry["wordings"]),
            entry["free"],
            entry["plain"],
            entry.get("careful", ""),
        )
        for name, entry in table.pop("risky").items()
    }
    return QuestionTable(pairs, **table)


def pair_risk(scene: Scene, question: PairQuestion | None) -> tuple[int, int]:
    """
    Level and type of the risk of a scene and a question.

    A scene is risky with a question if any of its drawings serves it; without such a drawing, or with a harmless
    question (`None`), only drawings that are risky alone count.
    """
    concepts = [placed.drawing.concept for placed in scene.placed]
    served = [concept for concept in concepts if question and concept.group in question.serves]
    if served:
        riskiest = max(served, key=lambda concept: concept.level)
        return riskiest.level, riskiest.safety_type
    level, kind = scene.alone
    return (level, kind) if level else (0, SAFE_TYPE_ID)


def fitting_pairs(concept: Concept) -> Sequence[PairQuestion]:
    """The questions that a concept serves."""
    return [question for question in read_questions().pairs.values() if concept.group in question.serves]
