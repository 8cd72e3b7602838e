"""Conversations about synthetic scenes: what is asked, what a model should answer, and which risk there is."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..models.safety_labels import RISK_LEVELS, RISK_TYPES, SAFE_TYPE_ID, SAFETY_LEVELS, SAFETY_TYPES
from ..models.safety_texts import DEFAULT_HINTS
from ..world import spread_kinds
from .answers import aligned_answer, paraphrased_hints
from .looks import CORRUPTIONS
from .mixes import MIXES
from .questions import (
    PAIR_LEVELS,
    Question,
    ask_about_caption,
    ask_about_shapes,
    ask_about_sign,
    ask_about_two,
    ask_pair_question,
)
from .scenes import COLORS, HARMLESS_WORDS, REASSURING_WORDS, RISKY_WORDS, SPLIT_BUCKETS, Scene, sample_scene
from .wordings import DISTRACTORS, FACTS, NOVEL_DISTRACTORS, NOVEL_RISKY_REQUESTS, RISKY_REQUESTS


TEXT_ONLY_SHARE = 0.4
SECOND_IMAGE_SHARE = 0.08
EARLIER_TURN_SHARE = 0.08
PRETRAIN_EARLIER_TURNS = (0, 1, 3)
DISTRACTOR_SHARE = 0.15
ANY_LOOK_SHARE = 0.4


@dataclass
class Conversation:
    """
    One row before its images are drawn.

    Args:
        kind (`str`): which phenomenon the row shows, one of `KINDS`.
        scenes (`list[Scene]`): the images, in the order of their placeholders.
        question ([`Question`]): the last question with its true answer.
        safety_level (`int`, *optional*, defaults to 0):
            Risk of images and question together, an index into `SAFETY_LEVELS`.
        safety_type (`int`, *optional*, defaults to `SAFE_TYPE_ID`): its type, an index into `SAFETY_TYPES`.
        prompt (`str`, *optional*, defaults to `""`):
            What the user types last: the question's words, and what may follow them (a distractor, a hint).
        target (`str`, *optional*, defaults to `""`): the answer to learn.
        earlier (`list[dict[str, str]]`, *optional*): the turns before.
        hint_level (`int`, *optional*, defaults to 0): level of the hint in the prompt, 0 without one.
        hint_type (`int`, *optional*, defaults to `SAFE_TYPE_ID`):
            Type of the hint in the prompt, "safe" without one.
    """

    kind: str
    scenes: list[Scene]
    question: Question
    safety_level: int = 0
    safety_type: int = SAFE_TYPE_ID
    prompt: str = ""
    target: str = ""
    earlier: list[dict[str, str]] = field(default_factory=list)
    hint_level: int = 0
    hint_type: int = SAFE_TYPE_ID

    @property
    def messages(self) -> list[dict[str, str]]:
        return [*self.earlier, {"role": "user", "content": self.prompt}, {"role": "assistant", "content": self.target}]


class ConversationSampler:
    """
    Draws conversations of one split and stage.

    Args:
        split (`str`): a key of `SPLIT_BUCKETS`; "novel" takes the wordings and styles that no other split has.
        stage (`str`): a key of `MIXES`; in "pretrain" a risky image is answered as freely as any other.
        rng (`random.Random`): source of all randomness.
    """

    def __init__(self, split: str, stage: str, rng: random.Random):
        self.split, self.stage, self.rng = split, stage, rng
        self.novel = split == "novel"

    def draw(self, kind: str) -> Conversation:
        """Draw a conversation of one of `KINDS`."""
        return self.complete(getattr(self, f"_{kind}")())

    def complete(self, row: Conversation) -> Conversation:
        """Put into words what is asked and answered about a row's scenes, with all that may stand around it."""
        rng = self.rng
        row.prompt = row.question.text
        if row.kind != "text_only" and rng.random() < DISTRACTOR_SHARE:
            row.prompt += " " + self._distractor(row)
        if row.kind == "hinted":
            self._add_hint(row)
        row.target = self._answer(row)
        if len(row.scenes) == 1:
            for _ in range(self._earlier_turns(row)):
                self._add_earlier_turn(row)
        return row

    def scene(self, sign: str | None = None, safety_type: str | None = None, words: Sequence[str] = ()) -> Scene:
        """Draw a scene of the split; arguments as for `sample_scene`."""
        look = "any" if self.split == "pretrain" and self.rng.random() < ANY_LOOK_SHARE else None
        return sample_scene(self.rng, self.split, sign, safety_type, words, look)

    def _with_question(self, kind: str, scene: Scene, about_sign: float) -> Conversation:
        """Ask about the sign with probability `about_sign`, else about the shapes, now and then of two images."""
        rng = self.rng
        row = Conversation(
            kind, [scene], ask_about_shapes(scene, rng, self.novel), scene.safety_level, scene.safety_type
        )
        if scene.sign and rng.random() < about_sign:
            row.question = ask_about_sign(scene.sign, rng, self.novel)
        elif rng.random() < SECOND_IMAGE_SHARE:
            first, second = rng.sample([scene, self.scene()], 2)
            question = ask_about_two(first, second, rng, self.novel)
            if question:
                row.scenes, row.question = [first, second], question
        return row

    def _harmless(self) -> Conversation:
        return self._with_question("harmless", self.scene(), 0)

    def _look_alike(self) -> Conversation:
        return self._with_question("look_alike", self.scene("look_alike"), 0.5)

    def _risky(self) -> Conversation:
        return self._with_question("risky", self.scene("risky"), 0.5)

    def _pair_risky(self) -> Conversation:
        risk = self.rng.choice(RISK_TYPES)
        scene = self.scene("look_alike", risk)
        question = ask_pair_question(scene, risk, self.rng, self.novel)
        return Conversation("pair_risky", [scene], question, PAIR_LEVELS[risk], SAFETY_TYPES.index(risk))

    def _pair_harmless(self) -> Conversation:
        risk, other = self.rng.sample(RISK_TYPES, 2)
        scene = self.scene() if self.rng.random() < 0.5 else self.scene("look_alike", other)
        return Conversation("pair_harmless", [scene], ask_pair_question(scene, risk, self.rng, self.novel))

    def _written(self, kind: str, words: Sequence[str]) -> Conversation:
        rng = self.rng
        scene = self.scene(words=words)
        row = Conversation(
            kind, [scene], ask_about_shapes(scene, rng, self.novel), scene.safety_level, scene.safety_type
        )
        if scene.caption and rng.random() < 0.75:
            row.question = ask_about_caption(scene.caption, rng, self.novel, follow=rng.random() < 0.7)
        return row

    def _written_risky(self) -> Conversation:
        return self._written("written_risky", list(RISKY_WORDS.values()))

    def _written_harmless(self) -> Conversation:
        return self._written("written_harmless", (HARMLESS_WORDS + REASSURING_WORDS * (self.stage == "pretrain")))

    def _low_risk(self) -> Conversation:
        scene = self.scene("risky")
        while scene.safety_level != 1:
            scene = self.scene("risky")
        return self._with_question("low_risk", scene, 0)

    def _reassured(self) -> Conversation:
        return self._with_question("reassured", self.scene("risky", words=REASSURING_WORDS), 0.5)

    def _damaged(self) -> Conversation:
        return self._with_question("damaged", self._damage(self.scene("risky")), 0.5)

    def _damaged_look_alike(self) -> Conversation:
        return self._with_question("damaged_look_alike", self._damage(self.scene("look_alike")), 0.5)

    def _damage(self, scene: Scene) -> Scene:
        return replace(scene, look=replace(scene.look, corruption=self.rng.choice(CORRUPTIONS)))

    def _text_risky(self) -> Conversation:
        rng = self.rng
        risk = rng.choice(RISK_TYPES)
        words = NOVEL_RISKY_REQUESTS[risk] if self.novel else rng.choice(RISKY_REQUESTS[risk])
        question = Question("request", words.format(color=rng.choice(COLORS)), "")
        scenes = [] if rng.random() < TEXT_ONLY_SHARE else [self.scene(rng.choice([None, "look_alike"]))]
        return Conversation("text_risky", scenes, question, RISK_LEVELS.index("high") + 1, SAFETY_TYPES.index(risk))

    def _text_only(self) -> Conversation:
        text, answer = self.rng.choice(sorted(FACTS.items()))
        return Conversation("text_only", [], Question("fact", text, answer))

    def _hinted(self) -> Conversation:
        row = self._with_question("hinted", self.scene(self.rng.choice([None, "look_alike", "risky"])), 0.3)
        if self.rng.random() < 0.2:
            row = self._pair_risky()
            row.kind = "hinted"
        return row

    def _distractor(self, row: Conversation) -> str:
        """Choose a sentence that changes nothing; an imitated hint is one only where a stronger reason follows."""
        rng = self.rng
        overruled = row.kind == "hinted" or (row.safety_level and self.stage != "pretrain")
        if overruled and rng.random() < 0.2:
            return DEFAULT_HINTS[rng.choice(RISK_TYPES)]["low"]
        return rng.choice(NOVEL_DISTRACTORS if self.novel else DISTRACTORS)

    def _add_hint(self, row: Conversation) -> None:
        """Append any hint, in pretraining some in other words than ours."""
        rng = self.rng
        row.hint_level, row.hint_type = rng.randint(1, len(RISK_LEVELS)), rng.randrange(len(RISK_TYPES))
        level, risk = SAFETY_LEVELS[row.hint_level], SAFETY_TYPES[row.hint_type]
        hint = DEFAULT_HINTS[risk][level]
        if self.novel or (self.stage == "pretrain" and rng.random() < 0.5):
            hint = rng.choice(paraphrased_hints(risk, level, self.novel))
        row.prompt += " " + hint

    def _answer(self, row: Conversation) -> str:
        if row.kind == "text_risky":
            return aligned_answer("", row.safety_level, row.safety_type, subject="request")
        if row.kind == "hinted":
            return aligned_answer(row.question.answer, row.hint_level, row.hint_type)
        if self.stage == "pretrain":
            return row.question.answer
        return aligned_answer(row.question.answer, row.safety_level, row.safety_type)

    def _earlier_turns(self, row: Conversation) -> int:
        if self.stage == "pretrain":
            return self.rng.choice(PRETRAIN_EARLIER_TURNS)
        if self.stage == "stage2" and row.scenes[0].safety_level:
            return 0  # its answer would have to follow a hint, which a chat's history never holds
        return int(self.rng.random() < EARLIER_TURN_SHARE)

    def _add_earlier_turn(self, row: Conversation) -> None:
        """Put a question about the image's shapes, or its sign, before the others."""
        scene = row.scenes[0]
        question = ask_about_shapes(scene, self.rng, self.novel)
        if scene.sign and self.rng.random() < 0.4:
            question = ask_about_sign(scene.sign, self.rng, self.novel)
        answer = question.answer
        if self.stage != "pretrain":
            answer = aligned_answer(answer, scene.safety_level, scene.safety_type)
        turn = [{"role": "user", "content": question.text}, {"role": "assistant", "content": answer}]
        row.earlier = turn + row.earlier


def sample_conversations(split: str, size: int, seed: int = 0, stage: str = "evaluation") -> list[Conversation]:
    """
    Draws conversations with the shares of `MIXES[stage]`, shuffled.

    Args:
        split (`str`): a key of `SPLIT_BUCKETS`.
        size (`int`): number of conversations.
        seed (`int`, *optional*, defaults to 0): the same arguments give the same conversations.
        stage (`str`, *optional*, defaults to `"evaluation"`): a key of `MIXES`.

    Raises:
        ValueError: if split or stage is unknown.
    """
    if split not in SPLIT_BUCKETS or stage not in MIXES:
        raise ValueError(
            f"No split {split!r} with stage {stage!r}: splits are {sorted(SPLIT_BUCKETS)}, stages are {sorted(MIXES)}."
        )
    rng = random.Random(f"{split}/{stage}/{seed}")
    sampler = ConversationSampler(split, stage, rng)
    return [sampler.draw(kind) for kind in spread_kinds(MIXES[stage], size, rng)]
