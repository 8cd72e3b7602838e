"""What an answer costs: tokens that the language model reads and writes, and images that the vision tower sees."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel


@dataclass
class AnswerCost:
    """
    Counts of everything that ran, over all passes of a defence. What only fills up a batch is not counted.

    Args:
        prompt_tokens (`int`): positions of prompts, those of images among them.
        answer_tokens (`int`): tokens of answers that were fed back, of answers to the model's own questions too.
        tower_passes (`int`): images that went through the vision tower.
    """

    prompt_tokens: int = 0
    answer_tokens: int = 0
    tower_passes: int = 0

    def per_answer(self, answers: int) -> dict[str, float]:
        """Means over so many answers."""
        return {name: round(count / answers, 2) for name, count in vars(self).items()}


@contextmanager
def counted(model: PreTrainedModel) -> Iterator[AnswerCost]:
    """While it lasts, counts what a LLaVA runs, by hooks that change nothing."""
    cost = AnswerCost()
    ends = model.generation_config.eos_token_id
    ended = [*(ends if isinstance(ends, list) else [ends]), model.generation_config.pad_token_id]
    not_said = torch.tensor([token for token in ended if token is not None])
    fed: list[torch.Tensor] = []

    def keep_tokens(module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        fed[:] = [] if ids is None else [ids]

    def count_tokens(module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        embeds, mask = kwargs["inputs_embeds"], kwargs.get("attention_mask")
        rows, length = embeds.shape[:2]
        if length > 1:
            # Where nothing is padded there is no mask, or one that says nothing of padding.
            is_padded = mask is not None and mask.shape == (rows, length)
            cost.prompt_tokens += int(kwargs["attention_mask"].sum()) if is_padded else rows * length
        else:
            cost.answer_tokens += rows if not fed else int((~torch.isin(fed[0].cpu(), not_said)).sum())

    def count_images(module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        cost.tower_passes += len(args[0] if args else kwargs["pixel_values"])

    hooks = [
        model.model.register_forward_pre_hook(keep_tokens, with_kwargs=True),
        model.model.language_model.register_forward_pre_hook(count_tokens, with_kwargs=True),
        model.model.vision_tower.register_forward_pre_hook(count_images, with_kwargs=True),
    ]
    try:
        yield cost
    finally:
        for hook in hooks:
            hook.remove()
