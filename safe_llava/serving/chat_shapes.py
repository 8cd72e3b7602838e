"""Answers in the form of OpenAI's chat completions, whole or in chunks."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Choice:
    """One answer, as it grows."""

    pieces: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    tokens: int = 0


@dataclass(frozen=True)
class ChatShape:
    """
    What all parts of an answer have in common.

    Args:
        id (`str`): the answer's name.
        model (`str`): the model's name.
        moderation (`dict`): what was found in the request.
        prompt_tokens (`int`): tokens of the request, images included and hints not.
        created (`int`): seconds since 1970.
    """

    id: str
    model: str
    moderation: dict[str, Any]
    prompt_tokens: int
    created: int = field(default_factory=lambda: int(time.time()))

    def completion(self, choices: Sequence[Choice], refusal: str | None = None) -> dict[str, Any]:
        """The whole answer. A refusal stands in `content` too, for clients that look nowhere else."""
        return {
            **self._head("chat.completion"),
            "choices": [
                {
                    "index": index,
                    "message": {"role": "assistant", "content": "".join(choice.pieces), "refusal": refusal},
                    "finish_reason": choice.finish_reason,
                    "logprobs": None,
                }
                for index, choice in enumerate(choices)
            ],
            "usage": self._usage(choices),
            "moderation": self.moderation,
        }

    def first_chunk(self, num_choices: int) -> str:
        """The chunk with the verdict, before any text."""
        choices = [_delta(index, {"role": "assistant", "content": ""}) for index in range(num_choices)]
        return self._event(choices, moderation=self.moderation)

    def chunk(self, index: int, delta: dict[str, Any], finish_reason: str | None = None) -> str:
        return self._event([_delta(index, delta, finish_reason)])

    def usage_chunk(self, choices: Sequence[Choice]) -> str:
        return self._event([], usage=self._usage(choices))

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> str:
        return to_event({**self._head("chat.completion.chunk"), "choices": choices, **more})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _usage(self, choices: Sequence[Choice]) -> dict[str, int]:
        tokens = sum(choice.tokens for choice in choices)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": self.prompt_tokens + tokens,
        }


LAST_EVENT = "data: [DONE]\n\n"


def to_event(values: dict[str, Any]) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(values, ensure_ascii=False, allow_nan=False)}\n\n"


def _delta(index: int, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
