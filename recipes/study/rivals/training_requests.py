"""Training rows of a world as the rivals need them: with one image, or their words alone. Test rows are never read."""

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedModel, ProcessorMixin

from safe_llava.inference import chat_prompt

from ..study_world import StudyWorld
from .layer_steering import read_last_states


_BATCH = 32


def draw_training_rows(study: StudyWorld, most: int | None = None) -> Dataset:
    """As many rows of stage 1 as the linear probe gets, or fewer."""
    number = study.num_probe_rows if most is None else min(most, study.num_probe_rows)
    return study.world.build_dataset("train", number, stage="stage1")


def read_requests(
    model: PreTrainedModel, processor: ProcessorMixin, rows: Dataset
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    What each decoder layer says of the last position of requests in words alone: those that are harmful by their
    words, and harmless ones without an image.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: of harmful and of harmless requests, `(requests, layers, width)` each.
    """
    kinds = rows["kind"][:]
    harmful, harmless = (
        [i for i, of_row in enumerate(kinds) if of_row == kind] for kind in ("text_risky", "text_only")
    )
    read = [_read_texts(model, processor, rows.select(places)["messages"][:]) for places in (harmful, harmless)]
    return read[0], read[1]


def _read_texts(
    model: PreTrainedModel, processor: ProcessorMixin, conversations: Sequence[list[dict[str, str]]]
) -> torch.Tensor:
    found = []
    for start in range(0, len(conversations), _BATCH):
        batch: list[dict[str, Any]] = [
            {"messages": messages, "images": []} for messages in conversations[start : start + _BATCH]
        ]
        texts = [processor.apply_chat_template(chat_prompt(row), add_generation_prompt=True) for row in batch]
        inputs = processor(text=texts, padding=True, padding_side="left", return_tensors="pt").to(model.device)
        embeds = model.get_input_embeddings()(inputs["input_ids"])
        found.append(read_last_states(model, embeds, inputs["attention_mask"]))
    return torch.cat(found)
