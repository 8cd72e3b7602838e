"""
DAVSP: a trained border around every image ("DAVSP: Safety Alignment for Large Vision-Language Models via Deep Aligned
Visual Safety Prompt", arXiv 2506.09353, sections 3 and 4).

The image is scaled into the inner part of the frame, in normalised pixels; the border begins at zero and takes sign
steps. v is the mean last hidden state of harmful requests less that of harmless ones, of length 1, in the middle of
the decoder. For images with harmful requests the loss is max(0, a - <h, v>), for harmless ones max(0, <h, v> - b), and
0.02 times the cross-entropy of the wanted answer (for harmful ones in one step of twenty). a and b, 27 and -2 in the
paper, belong to its model: here a is the 90th percentile of the harmful requests' <h, v>, b the 10th of the harmless
ones'. The safety prefix stands before the question, in training and after.
"""

import random
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm
from transformers import PreTrainedModel, ProcessorMixin

from safe_llava.inference import chat_prompt

from ..defended import Defended
from ..study_world import StudyWorld
from .layer_steering import decoder_layers, kept_states
from .said_first import say_first
from .training_requests import draw_training_rows, read_requests


BORDER = 30 / 336
"""Width of the border as a share of the image's side."""
STEP = 1 / 255
ANSWER_WEIGHT = 0.02
HARMFUL_ANSWERS = 0.05
"""Share of the steps on harmful requests that learn the wanted answer too."""
_MEASURED = 64


def davsp(
    study: StudyWorld,
    model: PreTrainedModel,
    processor: ProcessorMixin,
    seed: int,
    steps: int = 1200,
    batch_size: int = 2,
) -> Defended:
    """
    Args:
        steps (`int`): sign steps, on harmful and on harmless requests in turn.
        batch_size (`int`): rows in a step.
    """
    model.requires_grad_(False)
    rows = draw_training_rows(study)
    place = (len(decoder_layers(model)) + 1) // 2 - 1
    harmful, harmless = (states[:, place].float() for states in read_requests(model, processor, rows))
    aim = Aim(harmful, harmless, place)
    frame = Frame(model, processor)
    prefixed = say_first(processor, study.system_prompt)
    images = rows["images"]
    levels = rows["safety_level"][:]
    groups = [
        [i for i, level in enumerate(levels) if len(images[i]) == 1 and (level > 0) == is_harmful]
        for is_harmful in (True, False)
    ]
    measured = [[rows[i] for i in group[:_MEASURED]] for group in groups]
    before = [aim.measure(model, prefixed, group) for group in measured]
    rng = random.Random(seed)
    for step in tqdm(range(steps), desc="border", leave=False):
        is_harmful = step % 2 == 0
        batch = [rows[i] for i in rng.sample(groups[0 if is_harmful else 1], batch_size)]
        says = not is_harmful or rng.random() < HARMFUL_ANSWERS
        frame.step(aim.loss(model, prefixed, batch, is_harmful, says))
    after = [aim.measure(model, prefixed, group) for group in measured]
    derived = {
        "decoder_layer": place + 1,
        "border_pixels": frame.width,
        "requests": {"harmful": len(harmful), "harmless": len(harmless)},
        "harmful_90th_percentile": aim.harmful_bound,
        "harmless_10th_percentile": aim.harmless_bound,
        "mean_projection": {
            "harmful_requests": aim.project(harmful).mean().item(),
            "harmless_requests": aim.project(harmless).mean().item(),
            "harmful_images": {"before": before[0], "after": after[0]},
            "harmless_images": {"before": before[1], "after": after[1]},
        },
    }
    return Defended(model, prefixed, derived=derived)


class Frame:
    """
    A border around every image that a model's tower sees. Its hook stays on the model.

    Args:
        model (`PreTrainedModel`): a LLaVA.
        processor (`ProcessorMixin`): knows which values are those of images.
    """

    def __init__(self, model: PreTrainedModel, processor: ProcessorMixin):
        size = model.config.vision_config.image_size
        self.width = max(1, round(BORDER * size))
        images = processor.image_processor
        mean, self.std = (
            torch.tensor(values, device=model.device).view(3, 1, 1) for values in (images.image_mean, images.image_std)
        )
        self.lowest, self.highest = -mean / self.std, (1 - mean) / self.std
        self.is_border = torch.ones(size, size, dtype=torch.bool, device=model.device)
        self.is_border[self.width : -self.width, self.width : -self.width] = False
        self.border = torch.zeros(3, size, size, device=model.device, requires_grad=True)
        model.model.vision_tower.register_forward_pre_hook(self._put_around, with_kwargs=True)

    def __call__(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Images scaled into the frame, of the same size with it."""
        inner = self.is_border.shape[-1] - 2 * self.width
        scaled = F.interpolate(pixel_values, (inner, inner), mode="bilinear", antialias=True)
        return torch.where(self.is_border, self.border.to(scaled.dtype), F.pad(scaled, [self.width] * 4))

    def step(self, loss: torch.Tensor) -> None:
        """One sign step of 1/255 down the loss, within the values that an image can have."""
        (gradient,) = torch.autograd.grad(loss, self.border)
        moved = self.border.detach() - STEP / self.std * gradient.sign()
        self.border = moved.clamp(self.lowest, self.highest).requires_grad_()

    def _put_around(self, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        if not args:
            return args, kwargs | {"pixel_values": self(kwargs["pixel_values"])}
        return (self(args[0]), *args[1:]), kwargs


class Aim:
    """
    Where hidden states are driven to.

    Args:
        harmful, harmless (`torch.Tensor` of shape `(requests, width)`): last hidden states of requests in words.
        place (`int`): index of the decoder layer that they are of.
    """

    def __init__(self, harmful: torch.Tensor, harmless: torch.Tensor, place: int):
        self.place = place
        self.direction = F.normalize(harmful.mean(dim=0) - harmless.mean(dim=0), dim=0)
        self.harmful_bound = self.project(harmful).quantile(0.9).item()
        self.harmless_bound = self.project(harmless).quantile(0.1).item()

    def project(self, states: torch.Tensor) -> torch.Tensor:
        """How far hidden states lie along the direction of harm."""
        return states.float() @ self.direction

    def loss(
        self,
        model: PreTrainedModel,
        processor: ProcessorMixin,
        rows: list[dict[str, Any]],
        is_harmful: bool,
        says: bool,
    ) -> torch.Tensor:
        """The hinge of rows that are all harmful or all harmless; where `says`, with the wanted answers."""
        projections, surprise = self._run(model, processor, rows, says)
        past = self.harmful_bound - projections if is_harmful else projections - self.harmless_bound
        return F.relu(past).mean() + ANSWER_WEIGHT * surprise

    @torch.no_grad()
    def measure(self, model: PreTrainedModel, processor: ProcessorMixin, rows: list[dict[str, Any]]) -> float:
        """The mean projection of rows at the last position of their prompts."""
        return self._run(model, processor, rows, False)[0].mean().item()

    def _run(
        self, model: PreTrainedModel, processor: ProcessorMixin, rows: list[dict[str, Any]], says: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        prompts = [processor.apply_chat_template(chat_prompt(row), add_generation_prompt=True) for row in rows]
        texts, lengths = prompts, [0] * len(rows)
        if says:
            texts = [processor.apply_chat_template(_whole_chat(row)) for row in rows]
            tokenizer = processor.tokenizer
            lengths = [
                len(tokenizer(text)["input_ids"]) - len(tokenizer(prompt)["input_ids"])
                for text, prompt in zip(texts, prompts)
            ]
        inputs = processor(
            images=[row["images"] for row in rows], text=texts, padding=True, padding_side="left", return_tensors="pt"
        ).to(model.device)
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        with kept_states(model) as states:
            logits = model(
                **inputs,
                position_ids=(mask.cumsum(dim=-1) - 1).clamp(min=0),
                use_cache=False,
                logits_to_keep=max(lengths) + 1,
            ).logits
        last = torch.tensor([ids.shape[1] - length - 1 for length in lengths], device=ids.device)
        projections = self.project(states[self.place][torch.arange(len(rows), device=ids.device), last])
        if not says:
            return projections, projections.new_zeros(())
        wanted = ids[:, -max(lengths) :].clone()
        for of_row, length in zip(wanted, lengths):
            of_row[: len(of_row) - length] = -100
        return projections, F.cross_entropy(logits[:, :-1].float().transpose(1, 2), wanted)


def _whole_chat(row: dict[str, Any]) -> list[dict[str, Any]]:
    answer = {"role": "assistant", "content": [{"type": "text", "text": row["messages"][-1]["content"]}]}
    return [*chat_prompt(row), answer]
