"""Rows of this world before their images are drawn: what is shown and asked, what to answer, which risk there is."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..models.safety_labels import RISK_LEVELS, RISK_TYPES, SAFE_TYPE_ID, SAFETY_TYPES
from ..world import spread_kinds
from .composition import CORRUPTIONS, Scene, compose
from .concepts import Concept, read_concepts
from .drawings import SPLIT_MAKERS, Drawings
from .exact_questions import NAMING_TOPICS, Question, ask_about_scene, choose_wording
from .pair_questions import PairQuestion, fitting_pairs, pair_risk, read_questions
from .world_answers import aligned_answer
from .world_mixes import MIXES


CROWD_GROUPS = ("animal", "plant", "food", "instrument", "vehicle", "sky", "clothes")
"""Kinds of harmless things that may stand beside what is asked about."""
ALONE_SHARE = 0.6
TEXT_ONLY_SHARE = 0.4
HIGH = RISK_LEVELS.index("high") + 1
LOW = RISK_LEVELS.index("low") + 1


@dataclass
class Row:
    """
    One row before its image is drawn.

    Args:
        kind (`str`): which phenomenon it shows, one of `KINDS`.
        scene ([`Scene`], *optional*): the image.
        question ([`Question`]): what is asked, with the answer of a model that knows no risk.
        level (`int`, *optional*, defaults to 0): risk of both together, an index into `SAFETY_LEVELS`.
        safety_type (`int`, *optional*, defaults to `SAFE_TYPE_ID`): its type, an index into `SAFETY_TYPES`.
        target (`str`, *optional*, defaults to `""`): the answer to learn.
        careful (`str`, *optional*, defaults to `""`): the careful answer, where it is not the plain one.
    """

    kind: str
    scene: Scene | None
    question: Question
    level: int = 0
    safety_type: int = SAFE_TYPE_ID
    target: str = ""
    careful: str = ""

    @property
    def messages(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": self.question.text}, {"role": "assistant", "content": self.target}]


class RowSampler:
    """
    Draws rows of one split and stage.

    Args:
        drawings ([`Drawings`]): those of the split.
        stage (`str`): a key of `MIXES`; in "base" a risky pair is answered freely.
        rng (`random.Random`): source of all randomness.
        held_out (`bool`, *optional*):
            Whether risky things and look-alikes are those that no training row shows. By default any in the split
            "test", and none of them elsewhere.
    """

    def __init__(self, drawings: Drawings, stage: str, rng: random.Random, held_out: bool | None = None):
        self.drawings, self.stage, self.rng, self.held_out = drawings, stage, rng, held_out
        self.training = drawings.split != "test"
        self.table, self.questions = read_concepts(), read_questions()
        if self.training:
            self.held_out = False
        available = [concept for concept in self.table.concepts.values() if concept.name in drawings]
        self.harmless = [concept for concept in available if not concept.level and self.is_trained(concept)]
        self.crowd = [concept for concept in self.harmless if concept.group in CROWD_GROUPS]
        self.named = [concept.name for concept in self.harmless]
        self.risky = [concept for concept in available if concept.level and self.fits(concept)]

    def is_trained(self, concept: Concept) -> bool:
        return not (concept.held_out and self.held_out is not None)

    def fits(self, concept: Concept) -> bool:
        return self.held_out in (None, concept.held_out)

    def draw(self, kind: str) -> Row:
        """Draw a row of one of `KINDS`."""
        return self.complete(getattr(self, f"_{kind}")())

    def complete(self, row: Row) -> Row:
        """Write the answer to learn."""
        plain = row.question.answer
        if row.kind == "text_risky" or self.stage != "base":
            row.target = aligned_answer(plain, row.level, row.safety_type, self.rng, row.careful)
        else:
            row.target = plain
        return row

    def scene(self, concepts: Sequence[Concept], caption: str | None = None, crowd: bool = False) -> Scene:
        """Compose a scene of one drawing for each concept."""
        drawings = [self.rng.choice(self.drawings.by_name[concept.name]) for concept in concepts]
        return compose(self.rng, drawings, caption, crowd)

    def scene_about(self, concept: Concept, caption: str | None = None) -> Scene:
        """Compose a scene of a concept, alone or with one or two small harmless things beside it."""
        count = 0 if self.rng.random() < ALONE_SHARE else self.rng.choice((1, 1, 2))
        return self.scene([concept, *self.rng.sample(self.crowd, count)], caption, crowd=True)

    def served(self, least: int = 2, most: int = 3) -> tuple[PairQuestion, Concept]:
        """A question and a concept that makes it risky, each risk type as often as any other."""
        fit = [concept for concept in self.risky if least <= concept.level <= most]
        concept = self._by_type(fit)
        return self.rng.choice(fitting_pairs(concept)), concept

    def _by_type(self, concepts: Sequence[Concept]) -> Concept:
        kind = self.rng.choice(sorted({concept.safety_type for concept in concepts}))
        group = self.rng.choice(sorted({concept.group for concept in concepts if concept.safety_type == kind}))
        return self.rng.choice([concept for concept in concepts if concept.group == group])

    def look_alike(self) -> tuple[Concept, str]:
        """A look-alike, with the risk group that it stands in for."""
        while True:
            concept = self._by_type([concept for concept in self.table.concepts.values() if concept.level])
            names = concept.look_alikes if self.rng.random() < 0.5 else self.table.look_alikes[concept.group]
            found = [self.table.concepts[name] for name in names if name in self.drawings]
            found = [look_alike for look_alike in found if self.fits(look_alike)]
            if found:
                return self.rng.choice(found), concept.group

    def pair_row(self, kind: str, scene: Scene, question: PairQuestion) -> Row:
        """Ask a question about the scene's subject."""
        asked = question.ask(scene.subject.concept, self.rng, self.training)
        return Row(kind, scene, asked, *pair_risk(scene, question), careful=question.careful)

    def exact_row(self, kind: str, scene: Scene, topics: Sequence[str] | None = None) -> Row:
        """Ask what the scene answers."""
        more = {} if topics is None else {"topics": topics}
        question = ask_about_scene(scene, self.rng, self.named, self.training, **more)
        return Row(kind, scene, question, *pair_risk(scene, None))

    def _naming(self) -> Row:
        pool = self.harmless if self.rng.random() < 0.55 else [concept for concept in self.risky if not concept.alone]
        count = self.rng.choice((1, 1, 1, 2, 3))
        first = self.rng.choice(pool)
        others = self.rng.sample([concept for concept in self.harmless if concept is not first], count - 1)
        return self.exact_row("harmless", self.scene([first, *others]), NAMING_TOPICS)

    def _harmless(self) -> Row:
        count = self.rng.choice((1, 2, 2, 3, 4))
        concepts = [self.rng.choice(self.harmless) for _ in range(count)]
        if count > 1 and self.rng.random() < 0.15:
            concepts[1] = concepts[0]
        return self.exact_row("harmless", self.scene(concepts))

    def _look_alike(self) -> Row:
        concept, group = self.look_alike()
        scene = self.scene_about(concept)
        if self.rng.random() < 0.25:
            return self.exact_row("look_alike", scene)
        asked = [question for question in self.questions.pairs.values() if group in question.serves]
        return self.pair_row("look_alike", scene, self.rng.choice(asked))

    def _pair_risky(self, caption: str | None = None) -> Row:
        question, concept = self.served()
        return self.pair_row("pair_risky", self.scene_about(concept, caption), question)

    def _pair_harmless(self) -> Row:
        """A risky drawing with a question that is harmless, or that makes no sense with it."""
        rng = self.rng
        concept = self._by_type([concept for concept in self.risky if not concept.alone])
        scene = self.scene_about(concept)
        chance = rng.random()
        if chance < 0.3:
            return self.exact_row("pair_harmless", scene)
        misfits = [question for question in self.questions.pairs.values() if concept.group in question.misfits]
        if chance < 0.72 and misfits:
            return self.pair_row("pair_harmless", scene, rng.choice(misfits))
        return self._topical("pair_harmless", scene)

    def _topical(self, kind: str, scene: Scene) -> Row:
        group = scene.subject.concept.group
        entry = self.questions.topical[group]
        words, novel = choose_wording(entry["wordings"], self.rng, self.training)
        return Row(kind, scene, Question(f"topical_{group}", words, entry["answer"], novel), *pair_risk(scene, None))

    def _low_risk(self) -> Row:
        """A question of low level, or any harmless one about a drawing that is taken to be of low risk alone."""
        alone = [concept for concept in self.risky if concept.alone == LOW]
        if self.rng.random() < 0.5 or not alone:
            question, concept = self.served(LOW, LOW)
            return self.pair_row("low_risk", self.scene_about(concept), question)
        scene = self.scene_about(self._by_type(alone))
        return self.exact_row("low_risk", scene) if self.rng.random() < 0.6 else self._topical("low_risk", scene)

    def _follow(self, kind: str, caption: str) -> Row:
        scene = self.scene(self.rng.sample(self.harmless, self.rng.choice((1, 2))), caption)
        words, novel = choose_wording(self.questions.follow, self.rng, self.training)
        return Row(kind, scene, Question("follow", words, f"Here is how to {caption.lower()}.", novel))

    def _written_risky(self) -> Row:
        risk = self.rng.choice(RISK_TYPES)
        row = self._follow("written_risky", self.rng.choice(self.questions.captions[risk]))
        return replace(row, level=HIGH, safety_type=SAFETY_TYPES.index(risk))

    def _written_harmless(self) -> Row:
        """A harmless caption to follow, or a risky one that is not asked about."""
        if self.rng.random() < 0.6:
            return self._follow("written_harmless", self.rng.choice(self.questions.harmless_captions))
        caption = self.rng.choice(self.questions.captions[self.rng.choice(RISK_TYPES)])
        scene = self.scene(self.rng.sample(self.harmless, self.rng.choice((1, 2, 3))), caption)
        return self.exact_row(
            "written_harmless", scene, ("name", "where", "either", "at_place", "which_kind", "exists")
        )

    def _reassured(self) -> Row:
        row = self._pair_risky(self.rng.choice(self.questions.reassuring_captions))
        return replace(row, kind="reassured")

    def _damaged(self) -> Row:
        return self._damage(self._pair_risky(), "damaged")

    def _damaged_look_alike(self) -> Row:
        return self._damage(self._look_alike(), "damaged_look_alike")

    def _damage(self, row: Row, kind: str) -> Row:
        assert row.scene is not None
        return replace(row, kind=kind, scene=replace(row.scene, corruption=self.rng.choice(CORRUPTIONS)))

    def _text_risky(self) -> Row:
        risk = self.rng.choice(RISK_TYPES)
        words, novel = choose_wording(self.questions.requests[risk], self.rng, self.training)
        words = words.format(who=self.rng.choice(self.questions.people))
        scene = None if self.rng.random() < TEXT_ONLY_SHARE else self.scene(self.rng.sample(self.harmless, 1))
        return Row("text_risky", scene, Question("request", words, "", novel), HIGH, SAFETY_TYPES.index(risk))

    def _text_only(self) -> Row:
        text, answer = self.rng.choice(sorted(self.questions.facts.items()))
        return Row("text_only", None, Question("fact", text, str(answer)))


def draw_pair_square(sampler: RowSampler) -> list[Row]:
    """
    Two risky drawings and two questions, each of which is risky with one of them: four rows, two of them risky.

    Whoever sees the image alone, or the question alone, is right about half of the rows.
    """
    while True:
        (first, one), (second, other) = sampler.served(), sampler.served()
        is_square = one.group in second.misfits and other.group in first.misfits and not one.alone and not other.alone
        if is_square:
            break
    rows = []
    for scene in (sampler.scene_about(one), sampler.scene_about(other)):
        for question in (first, second):
            is_risky = scene.subject.concept.group in question.serves
            rows.append(
                sampler.complete(sampler.pair_row(f"pair_{'risky' if is_risky else 'harmless'}", scene, question))
            )
    return rows


def sample_rows(drawings: Drawings, num_rows: int, seed: int = 0, stage: str = "evaluation") -> list[Row]:
    """
    Draws rows with the shares of `MIXES[stage]`, shuffled.

    Args:
        drawings ([`Drawings`]): those of a split.
        num_rows (`int`): how many.
        seed (`int`, *optional*, defaults to 0): the same arguments give the same rows.
        stage (`str`, *optional*, defaults to `"evaluation"`): a key of `MIXES`.

    Raises:
        ValueError: if the stage is unknown, or trains on makers that are for tests.
    """
    if stage not in MIXES:
        raise ValueError(f"No stage {stage!r}: stages are {sorted(MIXES)}.")
    if stage != "evaluation" and drawings.split == "test":
        raise ValueError(f"Stage {stage!r} would train on the makers {SPLIT_MAKERS['test']}, which are for tests.")
    rng = random.Random(f"{drawings.split}/{stage}/{seed}")
    sampler = RowSampler(drawings, stage, rng)
    return [sampler.draw(kind) for kind in spread_kinds(MIXES[stage], num_rows, rng)]
