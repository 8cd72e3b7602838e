"""
Words before the question, and nothing else.

AdaShield-S: a fixed defence prompt in front of the question (arXiv 2403.09513, section 3.2, the static prompt). The
safety prefix of DAVSP alone (arXiv 2506.09353): both training and test put it before the question, so without it as a
cell of its own nobody knows what the border is worth. The words are ours, in words of each world.
"""

import copy
from typing import Any

from transformers import PreTrainedModel, ProcessorMixin

from ..defended import Defended
from ..study_world import StudyWorld


def adashield_s(study: StudyWorld, model: PreTrainedModel, processor: ProcessorMixin, seed: int) -> Defended:
    """A defence prompt that asks to look for harm first."""
    return Defended(model, say_first(processor, study.rival_words.defence))


def safety_prefix(study: StudyWorld, model: PreTrainedModel, processor: ProcessorMixin, seed: int) -> Defended:
    """The words of the safety system prompt, before the question."""
    return Defended(model, say_first(processor, study.system_prompt))


def say_first(processor: ProcessorMixin, words: str) -> ProcessorMixin:
    """A processor whose prompts with an image have words before the last question."""
    saying = copy.copy(processor)

    def apply_chat_template(conversation: list[dict[str, Any]], *args: Any, **kwargs: Any) -> Any:
        return processor.apply_chat_template(_put_first(conversation, words), *args, **kwargs)

    saying.apply_chat_template = apply_chat_template  # type: ignore[method-assign]
    return saying


def _put_first(conversation: list[dict[str, Any]], words: str) -> list[dict[str, Any]]:
    parts = [part for turn in conversation for part in turn["content"]]
    if not any(part["type"] == "image" for part in parts):
        return conversation
    last = max(place for place, turn in enumerate(conversation) if turn["role"] == "user")
    turn = conversation[last]
    asked = [
        part | {"text": f"{words} {part['text']}"} if part["type"] == "text" else part for part in turn["content"]
    ]
    return [*conversation[:last], turn | {"content": asked}, *conversation[last + 1 :]]
