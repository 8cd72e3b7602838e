"""Measures whether the evidence for a verdict lies where the risk is drawn and asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from tqdm import tqdm

from .evidence_overlay import read_words
from .inference import chat_prompt
from .models.modeling_safe_llava import SafeLlavaForConditionalGeneration
from .models.processing_safe_llava import SafeLlavaProcessor
from .statistics import wilson_interval


FIGURES = (
    "pointing_rate",
    "energy_share",
    "shuffled_pointing_rate",
    "shuffled_energy_share",
    "sign_area",
    "question_share",
    "question_length",
)


@dataclass(frozen=True)
class SignedRow:
    """
    A risky row about one image, of which it is known where the sign of the risk is drawn.

    Args:
        messages (`list[dict]`): the conversation, the last message its answer.
        draw_image (`Callable`): draws the image.
        find_sign (`Callable`): given patches per column and per row, a bool tensor of the patches on the sign.
        question (`str`, *optional*): what is asked, where the question makes the risk together with the sign.
    """

    messages: list[dict[str, Any]]
    draw_image: Callable[[], Image.Image]
    find_sign: Callable[[Sequence[int]], torch.Tensor]
    question: str | None = None


@torch.no_grad()
def score_signed_rows(
    model: SafeLlavaForConditionalGeneration,
    processor: SafeLlavaProcessor,
    rows: Sequence[SignedRow],
    batch_size: int = 64,
) -> dict[str, Any]:
    """
    Compares the evidence of [`SafeLlavaForConditionalGeneration.assess`] with the place of the sign.

    Args:
        model ([`SafeLlavaForConditionalGeneration`]): one whose head was trained on such rows.
        processor ([`SafeLlavaProcessor`]): its processor.
        rows (`Sequence[SignedRow]`): the rows.
        batch_size (`int`, *optional*, defaults to 64): prompts assessed at a time.

    Returns:
        `dict`: fractions between 0 and 1, `None` where there are no rows:

        - `pointing_rate`: images whose most relevant patch lies on the sign, the pointing game of Zhang et al.,
          "Top-down Neural Attention by Excitation Backprop", ECCV 2016;
        - `energy_share`: share of the relevance that lies on the sign, mean over images;
        - `shuffled_pointing_rate`, `shuffled_energy_share`: the same with each image's evidence taken from another
          image. Signs prefer some places, so this is what knowing the habit and not the image gives;
        - `sign_area`: mean share of the image that the sign covers, what a blind guess gives;
        - `question_share`: share of the words' relevance that falls on the question, mean over the rows whose risk
          the question makes; `question_length`: its mean share of the prompt's words. The rest is the
          template, earlier turns and remarks that change nothing.

        `intervals` has Wilson's 95 % interval of both pointing rates, `counts` the number of images.
    """
    if not rows:
        return {**dict.fromkeys(FIGURES), "intervals": {}, "counts": {"images": 0, "questions": 0}}
    maps: list[torch.Tensor] = []
    questions: list[tuple[float, float]] = []
    for start in tqdm(range(0, len(rows), batch_size), desc="evidence", leave=False):
        batch = rows[start : start + batch_size]
        images = [[row.draw_image()] for row in batch]
        prompts = [
            chat_prompt({"messages": row.messages, "images": images_of_row})
            for row, images_of_row in zip(batch, images)
        ]
        texts = [processor.apply_chat_template(prompt, add_generation_prompt=True) for prompt in prompts]
        inputs = processor(images=images, text=texts, padding=True, return_tensors="pt").to(model.device)
        evidence: Any = model.assess(**inputs, return_evidence=True).evidence
        maps += [relevance[0].cpu() for relevance in evidence.patch_relevance]
        for row, token_ids, relevance in zip(batch, inputs["input_ids"].tolist(), evidence.word_relevance.tolist()):
            if row.question is not None:
                questions.append(share_of_question(read_words(token_ids, relevance, processor), row.question))
    relevance = torch.stack(maps)
    signs = torch.stack([row.find_sign(relevance.shape[1:]) for row in rows])
    hits, shares = _compare(relevance, signs)
    shuffled_hits, shuffled_shares = _compare(relevance.roll(1, dims=0), signs)
    return {
        "pointing_rate": sum(hits) / len(hits),
        "energy_share": shares,
        "shuffled_pointing_rate": sum(shuffled_hits) / len(hits),
        "shuffled_energy_share": shuffled_shares,
        "sign_area": float(signs.float().mean()),
        "question_share": sum(share for share, _ in questions) / len(questions) if questions else None,
        "question_length": sum(length for _, length in questions) / len(questions) if questions else None,
        "intervals": {
            "pointing_rate": wilson_interval(hits),
            "shuffled_pointing_rate": wilson_interval(shuffled_hits),
        },
        "counts": {"images": len(hits), "questions": len(questions)},
    }


def share_of_question(words: Sequence[tuple[str, float]], question: str) -> tuple[float, float]:
    """The question's share of the relevance and of the words of its prompt, 0 where nothing has relevance."""
    asked = question.split()
    spelled = [word for word, _ in words]
    starts = [start for start in range(len(words)) if spelled[start : start + len(asked)] == asked]
    if not starts:
        raise ValueError(f"The question {question!r} is not in its prompt {' '.join(spelled)!r}.")
    total = sum(value for _, value in words)
    on_question = sum(value for _, value in words[starts[-1] : starts[-1] + len(asked)])
    return on_question / total if total else 0.0, len(asked) / len(words)


def _compare(relevance: torch.Tensor, signs: torch.Tensor) -> tuple[list[bool], float]:
    relevance, signs = relevance.flatten(1), signs.flatten(1)
    strongest, patches = relevance.max(dim=1, keepdim=True)
    hits = (signs.gather(1, patches) & (strongest > 0)).squeeze(1)
    totals = relevance.sum(dim=1).clamp(min=torch.finfo(relevance.dtype).tiny)
    return hits.tolist(), float(((relevance * signs).sum(dim=1) / totals).mean())
