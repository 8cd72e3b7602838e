"""
ECSO ("Eyes Closed, Safety On", arXiv 2403.09572, section 3): the model answers, is asked whether its answer is
harmful, and where it says so describes the image for the question and answers again from that description alone.

One more pass for each answer, two more where it finds harm. It needs a model that can be asked about its own answer;
the miniature has not learned that.
"""

from functools import partial
from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel, ProcessorMixin

from safe_llava.inference import answer_dataset

from ..defended import Answers, Defended
from ..study_world import RivalWords, StudyWorld


def ecso(study: StudyWorld, model: PreTrainedModel, processor: ProcessorMixin, seed: int) -> Defended:
    """The base with a second look at each answer about an image."""
    return Defended(model, processor, partial(_look_again, study.rival_words))


def _look_again(words: RivalWords, model: PreTrainedModel, processor: ProcessorMixin, rows: Dataset) -> Answers:
    answers = answer_dataset(model, processor, rows)
    questions = [messages[-2]["content"] for messages in rows["messages"]]
    seen = [i for i, images in enumerate(rows["images"]) if images]
    asked = [words.harm_check.format(question=questions[i], answer=answers[i]["answer"]) for i in seen]
    verdicts = _ask_instead(model, processor, rows, seen, asked)
    harmful = [i for i, verdict in zip(seen, verdicts) if verdict.lower().startswith("yes")]
    asked = [words.caption.format(question=questions[i]) for i in harmful]
    captions = _ask_instead(model, processor, rows, harmful, asked)
    asked = [words.from_caption.format(question=questions[i], caption=said) for i, said in zip(harmful, captions)]
    for i, answer in zip(harmful, _ask_instead(model, processor, rows, harmful, asked, has_images=False)):
        answers[i]["answer"] = answer
    return answers


def _ask_instead(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    rows: Dataset,
    places: list[int],
    questions: list[str],
    has_images: bool = True,
) -> list[str]:
    """The answers to other questions in the place of the last ones of some rows."""
    if not places:
        return []

    def ask(row: dict[str, Any], place: int) -> dict[str, Any]:
        turn = {"role": "user", "content": questions[place]}
        messages = [*row["messages"][:-2], turn, row["messages"][-1]]
        return {"messages": messages} if has_images else {"messages": messages, "images": []}

    asked = rows.select(places).map(ask, with_indices=True, load_from_cache_file=False)
    return [answer["answer"] for answer in answer_dataset(model, processor, asked)]
