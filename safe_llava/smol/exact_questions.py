"""Harmless questions that the scene alone answers, and their answers."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .composition import Scene
from .concepts import read_concepts, with_article


NUMBERS = ("no", "one", "two", "three", "four")
NAMED_KINDS: dict[str, tuple[str, str]] = {
    "animal": ("an animal", "animals"),
    "food": ("something to eat or drink", "things to eat or drink"),
    "plant": ("a plant", "plants"),
    "vehicle": ("a vehicle", "vehicles"),
    "clothes": ("something to wear", "things to wear"),
    "instrument": ("a musical instrument", "musical instruments"),
}
"""Kinds of things that are asked for, one of them and several."""
LEAST_RATIO = 1.35
"""How many times larger a drawing must be to be called so."""

WORDINGS: dict[str, tuple[str, ...]] = {
    "name": (
        "What is this?",
        "What do you see here?",
        "What does the image show?",
        "Name the thing in the image.",
        "Which thing is this?",
        "Can you tell me what this is?",
        "What is in this photo?",
        "Tell me in a few words what is shown here.",
        "What am I looking at?",
    ),
    "describe": (
        "What is in the image?",
        "Name everything that you see.",
        "List the things in this image.",
        "Which things are shown here?",
        "Describe the image in a few words.",
        "What can you see in this photo?",
        "Give me a short list of what is here.",
        "What all is in here?",
    ),
    "count": (
        "How many things are there?",
        "How many things do you see?",
        "Count the things in the image.",
        "How many objects does this image have?",
        "What is the number of things here?",
    ),
    "count_kind": (
        "How many {kinds} are there?",
        "How many {kinds} do you see?",
        "Count the {kinds} in the image.",
        "How many of the things are {kinds}?",
    ),
    "where": (
        "Where is the {it}?",
        "Where in the image is the {it}?",
        "In which part of the image do you see the {it}?",
        "Tell me where the {it} is.",
        "Which part of the image has the {it}?",
    ),
    "at_place": (
        "What is {place}?",
        "What do you see {place}?",
        "Which thing is {place}?",
        "Name the thing {place}.",
        "Tell me what stands {place}.",
    ),
    "which_kind": (
        "Which of them is {kind}?",
        "Which one is {kind}?",
        "One of the things is {kind}. Which one?",
        "Name the thing here that is {kind}.",
    ),
    "either": (
        "Is this {one} or {other}?",
        "Do you see {one} or {other}?",
        "Which of the two is it, {one} or {other}?",
        "Would you say that this is {one} or {other}?",
    ),
    "larger": (
        "Which is drawn larger, the {one} or the {other}?",
        "Which looks bigger here, the {one} or the {other}?",
        "Which takes more room in the image, the {one} or the {other}?",
    ),
    "exists": (
        "Is there {one} in the image?",
        "Do you see {one} here?",
        "Does the image show {one}?",
        "Can {one} be seen here?",
    ),
    "color": (
        "What color is the {it}?",
        "Which color does the {it} have?",
        "Tell me the color of the {it}.",
        "What is the color of the {it}?",
    ),
}
"""What is asked, by topic. The last wording of each is in no training row."""
NAMING_TOPICS = ("name", "describe")


@dataclass(frozen=True)
class Question:
    """A question's topic, its words, its true answer, and whether its wording is held back from training."""

    topic: str
    text: str
    answer: str
    novel: bool = False


def choose_wording(
    wordings: Sequence[str], rng: random.Random, training: bool, held_back: int = 1
) -> tuple[str, bool]:
    """A wording, and whether it is one of the last that no training row has."""
    index = rng.randrange(len(wordings) - held_back * training)
    return wordings[index], index >= len(wordings) - held_back


def sentence(words: str) -> str:
    """The words with a capital letter and a full stop."""
    return words[0].upper() + words[1:] + "."


def join_names(names: Sequence[str]) -> str:
    """The names as a list in English, "a cup, a dog and a star"."""
    told = [with_article(name) for name in names]
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)


Found = tuple[dict[str, str], str] | None


def _single(scene: Scene) -> list[int]:
    counts = Counter(scene.names)
    return [i for i, name in enumerate(scene.names) if counts[name] == 1]


def _name(scene: Scene, rng: random.Random, names: Sequence[str]) -> Found:
    return ({}, with_article(scene.names[0])) if len(scene.placed) == 1 else None


def _describe(scene: Scene, rng: random.Random, names: Sequence[str]) -> Found:
    return ({}, join_names(scene.names)) if len(_single(scene)) == len(scene.placed) else None


def _count(scene: Scene, rng: random.Random, names: Sequence[str]) -> Found:
    return {}, NUMBERS[len(scene.placed)]


def _kinds(scene: Scene) -> list[str]:
    return [placed.drawing.concept.kind for placed in scene.placed]


def _count_kind(scene: Scene, rng: random.Random, names: Sequence[str]) -> Found:
    kinds = sorted(set(_kinds(scene)) & NAMED_KINDS.keys())
    if len(scene.placed) < 2 or not kinds:
        return None
    kind = rng.choice(kinds)
    return {"kinds": NAMED_KINDS[kind][1]}, NUMBERS[_kinds(scene).count(kind)]


def _where(scene: Scene, rng: random.Random, names: Sequence[str]) -> Found:
    single = _single(scene)
    if len(scene.placed) < 2 or not single:
        return None
    placed = scene.placed[rng.choice(single)]
    return {"it": placed.name}, placed.where


def _at_place(scene: Scene, rng: random.Random, names: Sequence[str]) -> Found:
    if len(scene.placed) < 2:
        return None
    placed = rng.choice(scene.placed)
    return {"place": placed.where}, with_article(placed.name)


def _which_kind(scene: Scene, rng: random.Random, names: Sequence[str]) -> Found:
    counts = Counter(_kinds(scene))
    kinds = sorted(kind for kind in NAMED_KINDS if counts[kind] == 1)
    if len(scene.placed) < 2 or not kinds:
        return None
    kind = rng.choice(kinds)
    name = scene.names[_kinds(scene).index(kind)]
    return {"kind": NAMED_KINDS[kind][0]}, f"the {name}"


def _either(scene: Scene, rng: random.Random, names: Sequence[str]) -> Found:
    if len(scene.placed) > 1:
        return None
    name = scene.names[0]
    pair = rng.sample([name, rng.choice([other for other in names if other != name])], 2)
    return {"one": with_article(pair[0]), "other": with_article(pair[1])}, with_article(name)


def _larger(scene: Scene, rng: random.Random, names: Sequence[str]) -> Found:
    single = _single(scene)
    if len(single) < 2:
        return None
    pair = [scene.placed[i] for i in rng.sample(single, 2)]
    small, large = sorted(pair, key=lambda placed: placed.size)
    if large.size < LEAST_RATIO * small.size:
        return None
    return {"one": pair[0].name, "other": pair[1].name}, f"the {large.name}"


def _exists(scene: Scene, rng: random.Random, names: Sequence[str]) -> Found:
    if rng.random() < 0.5:
        return {"one": with_article(rng.choice(scene.names))}, "yes"
    return {"one": with_article(rng.choice([name for name in names if name not in scene.names]))}, "no"


def _color(scene: Scene, rng: random.Random, names: Sequence[str]) -> Found:
    colors = read_concepts().colors
    fit = [i for i in _single(scene) if colors.get(scene.names[i], "") == scene.placed[i].drawing.color]
    if not fit:
        return None
    name = scene.names[rng.choice(fit)]
    return {"it": name}, colors[name]


_TOPICS: dict[str, Callable[[Scene, random.Random, Sequence[str]], Found]] = {
    "name": _name,
    "describe": _describe,
    "count": _count,
    "count_kind": _count_kind,
    "where": _where,
    "at_place": _at_place,
    "which_kind": _which_kind,
    "either": _either,
    "larger": _larger,
    "exists": _exists,
    "color": _color,
}


def ask_about_scene(
    scene: Scene, rng: random.Random, names: Sequence[str], training: bool, topics: Sequence[str] = tuple(_TOPICS)
) -> Question:
    """
    Asks something that the scene answers.

    Args:
        scene ([`Scene`]): what is shown.
        rng (`random.Random`): source of all randomness.
        names (`Sequence[str]`): what may be asked for that is not there.
        training (`bool`): whether wordings that are held back are left out.
        topics (`Sequence[str]`, *optional*): what may be asked about, keys of `WORDINGS`. Defaults to all; a color
            comes first where there is one to ask for, because few drawings have one.

    Returns:
        [`Question`]: the question with its answer.
    """
    order = rng.sample(topics, len(topics))
    if "color" in topics and rng.random() < 0.5:
        order.insert(0, "color")
    for topic in order:
        found = _TOPICS[topic](scene, rng, names)
        if found:
            slots, answer = found
            wording, novel = choose_wording(WORDINGS[topic], rng, training)
            return Question(topic, wording.format(**slots), sentence(answer), novel)
    raise ValueError(f"None of the topics {list(topics)} fits a scene of {scene.names}.")
