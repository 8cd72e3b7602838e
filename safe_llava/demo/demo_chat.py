"""The chat of one visitor, with a policy of its own: nothing of it is seen in another one."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from PIL import Image

from ..evidence_overlay import draw_evidence
from ..models.image_reading import read_image
from ..models.safety_policy import SafetyDecision
from ..models.safety_texts import NEUTRAL_QUESTION
from ..serving.generation_request import Done, Ended, Event, Generation, Piece, Started
from .demo_model import Assessed, DemoModel


logger = logging.getLogger(__name__)
State = Literal["assessing", "waiting", "answering", "whole", "too long", "stopped", "failed"]


@dataclass(eq=False)
class Turn:
    """
    A question, what was found in the chat up to it, and its answer.

    Args:
        question (`str`): the visitor's words.
        images (`list[PIL.Image.Image]`): the images that came with it.
        chat_images (`list[PIL.Image.Image]`): all images of the chat up to it.
        assessed ([`Assessed`], *optional*): `None` until the chat is assessed.
        answered_under ([`SafetyDecision`], *optional*): what was decided when the answer began.
        answer (`str`): the answer, as far as it has come.
        state (`str`): how far that is.
        failure (`str`): why there is no more of it.
    """

    question: str
    images: list[Image.Image]
    chat_images: list[Image.Image]
    assessed: Assessed | None = None
    answered_under: SafetyDecision | None = None
    answer: str = ""
    state: State = "assessing"
    failure: str = ""
    generation: Generation | None = field(default=None, repr=False)

    @property
    def is_running(self) -> bool:
        """Whether its answer is still to come."""
        return self.state in ("assessing", "waiting", "answering")


class DemoChat:
    """
    What one visitor asks. To be used in the event loop.

    Args:
        demo ([`DemoModel`]): the model.
    """

    def __init__(self, demo: DemoModel):
        self.demo, self.policy = demo, demo.policy
        self.turns: list[Turn] = []
        self.images: list[Image.Image] = []
        self.problem = ""
        self.on_progress: Callable[[], None] = lambda: None
        """Called when a turn that runs has come further."""

    @property
    def running(self) -> Turn | None:
        """The turn that is not over yet."""
        return self.turns[-1] if self.turns and self.turns[-1].is_running else None

    def add_image(self, encoded: bytes) -> None:
        """
        Takes an image for the next question.

        Raises:
            ValueError: if it cannot be read, is too large, or is one too many.
        """
        limits = self.demo.limits
        if sum(len(turn.images) for turn in self.turns) + len(self.images) >= limits.images:
            raise ValueError(f"A chat holds at most {limits.images} images. Start over to show others.")
        if len(encoded) > limits.image_bytes:
            raise ValueError(f"An image may have {limits.image_bytes / 2**20:.0f} MB; this one is larger.")
        self.images.append(read_image(encoded, max_pixels=limits.image_pixels).image)

    async def ask(self, question: str) -> None:
        """
        Asks about the images that were added, assesses the chat, and lets the answer begin. Where that cannot be done
        nothing is asked, and `problem` says why.
        """
        if self.running:
            return
        try:
            turn = self._take_turn(question.strip())
        except ValueError as error:
            self.problem = str(error)
            return self.on_progress()
        try:
            messages = _to_messages([*(before for before in self.turns if before.answer), turn])
            assessed = await asyncio.get_running_loop().run_in_executor(None, self.demo.assess, messages)
            turn.assessed = assessed
        except Exception as error:
            if not isinstance(error, ValueError):
                logger.exception("A chat could not be assessed.")
            if turn in self.turns:  # Else the visitor has started over.
                self.turns.remove(turn)
                self.images = turn.images
                self.problem = f"This was not asked: {error}"
        if turn.is_running and turn in self.turns:
            self.answer(turn)
        self.on_progress()

    def _take_turn(self, question: str) -> Turn:
        limits = self.demo.limits
        if not question and not self.images:
            raise ValueError("There is nothing to ask: add an image, or write a question.")
        if len(self.turns) >= limits.turns:
            raise ValueError(f"A chat has at most {limits.turns} questions. Start over.")
        if sum(len(turn.question) for turn in self.turns) + len(question) > limits.text_chars:
            raise ValueError(f"A chat has at most {limits.text_chars} characters. Write less, or start over.")
        images = [image for turn in self.turns if turn.answer for image in turn.images] + self.images
        turn = Turn(question or NEUTRAL_QUESTION, self.images, images)
        self.turns.append(turn)
        self.images, self.problem = [], ""
        self.on_progress()
        return turn

    def decide(self, turn: Turn) -> SafetyDecision | None:
        """What the visitor's policy makes of a turn now; `None` until it is assessed."""
        return None if turn.assessed is None else self.demo.decide(turn.assessed, self.policy)

    def answer(self, turn: Turn) -> None:
        """Lets an assessed turn be answered, or answered anew, under the policy as it is now."""
        loop = asyncio.get_running_loop()
        assert turn.assessed is not None

        def take(event: Event) -> None:
            loop.call_soon_threadsafe(self._take, turn, generation, event)

        decision = self.demo.decide(turn.assessed, self.policy)
        generation = self.demo.prepare(turn.assessed, self.policy, decision, take)
        turn.answered_under, turn.generation = decision, generation
        turn.answer, turn.failure, turn.state = "", "", "waiting"
        self.demo.worker.submit(generation)

    def stop(self) -> None:
        """Stops the answer that runs; what has come of it stays."""
        if (turn := self.running) is None:
            return
        if turn.generation is not None:
            self.demo.worker.cancel(turn.generation)
        turn.generation, turn.state = None, "stopped"

    def start_over(self) -> None:
        """Forgets what was asked and shown. The policy stays."""
        self.stop()
        self.turns, self.images, self.problem = [], [], ""

    def change_policy(self, changes: dict[str, Any]) -> None:
        """Changes the visitor's policy; see [`SafetyPolicy.updated`]."""
        self.policy = self.policy.updated(changes)

    def draw_evidence(self, turn: Turn) -> Image.Image:
        """The places and words behind a turn's verdict."""
        assessed = turn.assessed
        assert assessed is not None and assessed.verdict is not None
        input_ids: Any = assessed.prompt.input_ids[None]
        return draw_evidence(assessed.verdict, turn.chat_images, input_ids, self.demo.guard.processor)

    def _take(self, turn: Turn, generation: Generation, event: Event) -> None:
        if turn.generation is not generation:  # It was stopped, or is answered anew.
            return
        if isinstance(event, Started):
            turn.state = "answering"
        elif isinstance(event, Piece):
            turn.answer += event.text
        elif isinstance(event, Ended):
            turn.state = "whole" if event.finish_reason == "stop" else "too long"
        elif isinstance(event, Done) and event.error is not None:
            turn.state, turn.failure = "failed", str(event.error) or type(event.error).__name__
        self.on_progress()


def _to_messages(turns: list[Turn]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for turn in turns:
        images = [{"type": "image", "image": image} for image in turn.images]
        messages.append({"role": "user", "content": [*images, {"type": "text", "text": turn.question}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": turn.answer}]})
    return messages[:-1]
