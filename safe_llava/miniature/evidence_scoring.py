"""Measures whether the evidence for a verdict lies where the risk is drawn and asked for."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F
from tqdm import tqdm

from ..evidence_overlay import read_words
from ..inference import chat_prompt
from ..models.modeling_safe_llava import SafeLlavaForConditionalGeneration
from ..models.processing_safe_llava import SafeLlavaProcessor
from ..statistics import wilson_interval
from .conversations import Conversation
from .drawing import draw_scene
from .scenes import GRID_SIZE, Scene


SIGN_KINDS = frozenset({"risky", "pair_risky"})
"""Kinds of conversations whose risk lies on the sign."""
FIGURES = (
    "pointing_rate",
    "energy_share",
    "shuffled_pointing_rate",
    "shuffled_energy_share",
    "sign_area",
    "question_share",
    "question_length",
)


@torch.no_grad()
def score_evidence(
    model: SafeLlavaForConditionalGeneration,
    processor: SafeLlavaProcessor,
    conversations: Sequence[Conversation],
    batch_size: int = 64,
) -> dict[str, Any]:
    """
    Compares the evidence of [`SafeLlavaForConditionalGeneration.assess`] with the place of the pictogram, over the
    risky conversations about one image with a sign.

    Args:
        model ([`SafeLlavaForConditionalGeneration`]): one whose head was trained on the miniature.
        processor ([`SafeLlavaProcessor`]): its processor.
        conversations (`Sequence[Conversation]`):
            From [`~safe_llava.miniature.conversations.sample_conversations`]; other kinds are left out.
        batch_size (`int`, *optional*, defaults to 64): prompts assessed at a time.

    Returns:
        `dict`: fractions between 0 and 1, `None` where no conversation qualifies:

        - `pointing_rate`: images whose most relevant patch lies on the sign, the pointing game of Zhang et al.,
          "Top-down Neural Attention by Excitation Backprop", ECCV 2016;
        - `energy_share`: share of the relevance that lies on the sign, mean over images;
        - `shuffled_pointing_rate`, `shuffled_energy_share`: the same with each image's evidence taken from another
          image. Signs prefer some places, so this is what knowing the habit and not the image gives;
        - `sign_area`: mean share of the image that the sign's cells cover, what a blind guess gives;
        - `question_share`: share of the words' relevance that falls on the question, mean over the rows whose risk
          the question makes ("pair_risky"); `question_length`: its mean share of the prompt's words. The rest is the
          template, earlier turns and remarks that change nothing.

        `intervals` has Wilson's 95 % interval of both pointing rates, `counts` the number of images.
    """
    chosen = [
        row
        for row in conversations
        if row.kind in SIGN_KINDS and len(row.scenes) == 1 and row.scenes[0].sign is not None
    ]
    if not chosen:
        return {**dict.fromkeys(FIGURES), "intervals": {}, "counts": {"images": 0, "questions": 0}}
    maps: list[torch.Tensor] = []
    questions: list[tuple[float, float]] = []
    for start in tqdm(range(0, len(chosen), batch_size), desc="evidence", leave=False):
        rows = chosen[start : start + batch_size]
        images = [[draw_scene(row.scenes[0])] for row in rows]
        prompts = [
            chat_prompt({"messages": row.messages, "images": images_of_row})
            for row, images_of_row in zip(rows, images)
        ]
        texts = [processor.apply_chat_template(prompt, add_generation_prompt=True) for prompt in prompts]
        inputs = processor(images=images, text=texts, padding=True, return_tensors="pt").to(model.device)
        evidence: Any = model.assess(**inputs, return_evidence=True).evidence
        maps += [relevance[0].cpu() for relevance in evidence.patch_relevance]
        for row, token_ids, relevance in zip(rows, inputs["input_ids"].tolist(), evidence.word_relevance.tolist()):
            if row.kind == "pair_risky":
                questions.append(share_of_question(read_words(token_ids, relevance, processor), row.question.text))
    relevance = torch.stack(maps)
    signs = torch.stack([sign_mask(row.scenes[0], relevance.shape[1:]) for row in chosen])
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


def sign_mask(scene: Scene, patch_grid: Sequence[int]) -> torch.Tensor:
    """Which patches have their centre in the cells of the scene's sign, a bool tensor of the shape of the grid."""
    cells = torch.zeros(GRID_SIZE, GRID_SIZE)
    for cell in scene.sign.cells if scene.sign else ():
        cells[cell] = 1.0
    return F.interpolate(cells[None, None], size=tuple(patch_grid), mode="nearest-exact")[0, 0].bool()


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
