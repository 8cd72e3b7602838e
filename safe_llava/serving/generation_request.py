"""A chat on its way to an answer: how to decode it, what becomes of it, and whether it may still begin."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..models.encoded_prompt import EncodedPrompt
from .guard_pass import Assessment


_GREEDY_BELOW, _MIN_TEMPERATURE = 1e-5, 0.01
"""Below the first sampling is greedy; below the second logits would overflow."""


@dataclass(frozen=True)
class Sampling:
    """How to decode, as OpenAI's fields name it. Greedy where neither temperature nor top_p is given."""

    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    n: int = 1
    stop: Sequence[str] = ()
    seed: int | None = None

    def to_arguments(self) -> dict[str, Any]:
        """What `generate` takes."""
        temperature = self.temperature
        if temperature is None:
            temperature = 0.0 if self.top_p is None else 1.0
        if temperature < _GREEDY_BELOW:
            return {"max_new_tokens": self.max_tokens, "do_sample": False}
        return {
            "max_new_tokens": self.max_tokens,
            "do_sample": True,
            "temperature": max(temperature, _MIN_TEMPERATURE),
            "top_p": 1.0 if self.top_p is None else self.top_p,
            "top_k": 0,
        }


@dataclass(frozen=True)
class Started:
    """The worker has begun with this chat, and goes on to its end."""


@dataclass(frozen=True)
class Piece:
    """A piece of the text of one choice."""

    index: int
    text: str


@dataclass(frozen=True)
class Ended:
    """One choice is whole."""

    index: int
    finish_reason: str
    tokens: int


@dataclass(frozen=True)
class Done:
    """All choices are whole, or `error` says why not."""

    error: Exception | None = None


Event = Started | Piece | Ended | Done


@dataclass(eq=False)
class Generation:
    """
    A chat that is to be answered.

    Args:
        prompt ([`EncodedPrompt`]): the chat.
        messages (`list[dict]`): the same as it was read, for an engine that encodes it itself.
        assessment ([`Assessment`]): what was found in it; its features are what the language model reads.
        sampling ([`Sampling`]): how to decode.
        emit (`Callable`): takes each event, in the worker's thread.
    """

    prompt: EncodedPrompt
    messages: list[dict[str, Any]]
    assessment: Assessment
    sampling: Sampling
    emit: Callable[[Event], None]
    cancelled: threading.Event = field(default_factory=threading.Event)
    has_begun: bool = False
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> bool:
        """Whether the answer may begin, which counts as a generation; never after it was cancelled."""
        with self._turn:
            self.has_begun = not self.cancelled.is_set()
            return self.has_begun

    def cancel(self) -> None:
        """Stops the answer, or keeps it from beginning. What `has_begun` says is final then."""
        with self._turn:
            self.cancelled.set()


class AnsweringWorker(Protocol):
    """What answers chats: this process' model, or another engine."""

    def submit(self, generation: Generation) -> None:
        """Takes a chat."""

    def cancel(self, generation: Generation) -> None:
        """Stops a chat, or keeps it from beginning."""

    def drain(self) -> None:
        """Nothing new is begun; what runs goes on."""

    def close(self) -> None:
        """Stops everything."""
