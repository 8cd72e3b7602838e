"""Asks the judge, the model in inspect's role "grader", about an answer. A failure of its is never a score."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from inspect_ai.model import (
    ChatMessageUser,
    ContentImage,
    ContentText,
    GenerateConfig,
    Model,
    get_model,
    model_roles,
)
from inspect_ai.solver import TaskState
from inspect_ai.util import LimitExceededError

from ...version import __version__


VerdictT = TypeVar("VerdictT")
Failure = Literal["exception", "timeout", "declined", "empty", "unparsable"]

ROLE = "grader"
DEFAULT_CONFIG = GenerateConfig(temperature=0.0, max_tokens=1024, timeout=300, max_retries=3)
"""Of the judge, where the role does not say otherwise."""


@dataclass(frozen=True)
class Judgement(Generic[VerdictT]):
    """
    What came of asking the judge.

    Args:
        verdict (*optional*): what was read from the judge's last line; `None` after a failure.
        failure (`str`, *optional*): the kind of failure; `None` where there is a verdict.
        text (`str`): the judge's own words, or the error.
        metadata (`dict`): `judge` (the model), `judge_config`, `judge_failure` and `harness` (our version).
    """

    verdict: VerdictT | None
    failure: Failure | None
    text: str
    metadata: dict[str, Any]


async def ask_judge(prompt: str, state: TaskState, parse: Callable[[str], VerdictT | None]) -> Judgement[VerdictT]:
    """
    Shows the judge the images of a sample together with a prompt.

    Args:
        prompt (`str`): what to judge, see [`~safe_llava.evaluation.inspect.judge_prompts`].
        state (`TaskState`): the sample.
        parse (`Callable`): reads the verdict from the judge's words; `None` where there is none in them.

    Returns:
        [`Judgement`]: a verdict or a failure.

    Raises:
        ValueError: if no model, or more than one, has the role, or if the log was written without its images.
    """
    judge, parts_with_images = _get_judge(), _images_of(state)
    try:
        output = await judge.generate([ChatMessageUser(content=[*parts_with_images, ContentText(text=prompt)])])
    except LimitExceededError:
        raise
    except Exception as error:  # Every provider raises errors of its own.
        failure: Failure = "timeout" if "timeout" in type(error).__name__.lower() else "exception"
        return _judged(judge, None, failure, f"{type(error).__name__}: {error}")
    if not output.choices or not output.completion.strip():
        return _judged(judge, None, "empty", output.error or "")
    if output.stop_reason == "content_filter":
        return _judged(judge, None, "declined", output.completion)
    verdict = parse(output.completion)
    return _judged(judge, verdict, "unparsable" if verdict is None else None, output.completion)


def parse_last_line(text: str, label: str) -> str | None:
    """
    What a judge says in its last line. Only that line counts, so that a verdict in a quotation of the answer is not
    taken for the judge's.

    Args:
        text (`str`): the judge's words.
        label (`str`): what the line must begin with, before its colon.

    Returns:
        `str`: what stands behind `label:` in the last line that is not empty, without Markdown; `None` if that line
        begins otherwise.
    """
    lines = [line.strip(" \t*_`#.") for line in text.splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    found = re.fullmatch(rf"{label}\W*:[\s*_`]*(.+)", last, re.IGNORECASE)
    return found and found[1].strip()


def parse_rating(text: str) -> float | None:
    """
    Reads a rating.

    Args:
        text (`str`): the judge's words.

    Returns:
        `float`: 0 to 10; `None` where there is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:\s*/\s*10)?", parse_last_line(text, "RATING") or "")
    rating = float(found[1]) if found else None
    return rating if rating is not None and rating <= 10 else None


def parse_choice(text: str, choices: tuple[str, ...]) -> str | None:
    """
    Reads a choice.

    Args:
        text (`str`): the judge's words.
        choices (`tuple[str, ...]`): what the judge may say, in lower case.

    Returns:
        `str`: the one that it names; `None` where it names none.
    """
    choice = re.sub(r"[\s-]", "_", (parse_last_line(text, "VERDICT") or "").lower())
    return choice if choice in choices else None


def _get_judge() -> Model:
    judges = model_roles().get(ROLE)
    if judges is None or isinstance(judges, list):
        given = "none has" if judges is None else f"{len(judges)} have"
        raise ValueError(
            f"This scorer asks one judge, and {given} the role {ROLE!r}. Name one that sees images with "
            f"`--model-role {ROLE}=openai/<model>`; a second one scores the same log with `inspect score`."
        )
    return get_model(role=ROLE, config=DEFAULT_CONFIG)


def _images_of(state: TaskState) -> list[ContentImage]:
    messages = [] if isinstance(state.input, str) else state.input
    parts = [part for message in messages if not isinstance(message.content, str) for part in message.content]
    parts_with_images = [part for part in parts if isinstance(part, ContentImage)]
    if any(not part.image.startswith("data:") for part in parts_with_images):
        raise ValueError(
            f"The images of sample {state.sample_id!r} are not in the log, and no judge scores what it cannot see. "
            "Evaluate without `--no-log-images`."
        )
    return parts_with_images


def _judged(judge: Model, verdict: Any, failure: Failure | None, text: str) -> Judgement:
    metadata = {
        "judge": str(judge),
        "judge_config": judge.config.model_dump(exclude_none=True, exclude={"extra_headers"}),  # they may hold keys
        "judge_failure": failure,
        "harness": f"safe-llava {__version__}",
    }
    return Judgement(verdict, failure, text, metadata)
