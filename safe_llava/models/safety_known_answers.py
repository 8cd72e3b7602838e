"""What a model makes of two drawn patterns and some words: a known-answer test, as cryptographic modules run it before
they are used (FIPS 140-3, section 7.10). It sees the weights in any form, and the config and the code that use them.
"""

import base64

import numpy as np
import torch
from transformers import PreTrainedModel

from .evaluation_mode import evaluating
from .image_tiles import TileGrid
from .safety_modules import SafeLlavaImageFeatures, read_patches


NUM_PROBES, NUM_WORDS, NUM_SAMPLES = 2, 32, 32


@torch.no_grad()
def answer_probes(model: PreTrainedModel, vocab_size: int) -> dict[str, torch.Tensor]:
    """
    What vision tower, token embeddings and safety modules make of two drawn patterns and of words from all over the
    vocabulary.

    Args:
        model ([`SafeLlavaForConditionalGeneration`] or [`SafeLlavaForSafetyClassification`]): a model with a head.
        vocab_size (`int`): number of token ids that the words are taken from.

    Returns:
        `dict[str, torch.Tensor]`: on the CPU, in float32 and of shape `(2, n)` each: entries of the safety features,
        entries of the text queries, and the logits of both classifiers.
    """
    # A training asks its model before it has ended.
    with evaluating(model):
        answers = _answer(model, vocab_size)
    return {name: answer.float().cpu() for name, answer in answers.items()}


def _answer(model: PreTrainedModel, vocab_size: int) -> dict[str, torch.Tensor]:
    vision_config = model.config.vision_config
    pixel_values = draw_patterns(getattr(vision_config, "num_channels", 3), vision_config.image_size)
    image_outputs = _look(model, pixel_values.to(model.device, model.dtype))
    ids = torch.linspace(0, vocab_size - 1, NUM_PROBES * NUM_WORDS).long().view(NUM_WORDS, NUM_PROBES).T
    ids = torch.cat([ids[:, :1], ids], dim=1)
    is_placeholder = torch.arange(ids.shape[1]).expand_as(ids) == 0
    text_embeds = model.get_input_embeddings()(ids.to(model.device))
    safety_modules = model.model.safety_modules
    inputs = safety_modules.prepare_head_inputs(text_embeds, is_placeholder.to(text_embeds.device), image_outputs)
    level_logits, type_logits = safety_modules.head(*inputs)
    return {
        "features": _take_samples(inputs.safety_features),
        "queries": _take_samples(safety_modules.head.pool_text(inputs.text_embeds, inputs.text_mask)),
        # A constant on all logits of a classifier changes no probability.
        "level_logits": level_logits - level_logits.mean(dim=-1, keepdim=True),
        "type_logits": type_logits - type_logits.mean(dim=-1, keepdim=True),
    }


def encode_answers(answers: dict[str, torch.Tensor]) -> dict[str, str]:
    """Answers as text that JSON can hold: little-endian float32 in base64."""
    stored = {name: answer.numpy().astype("<f4").tobytes() for name, answer in answers.items()}
    return {name: base64.b64encode(answer).decode() for name, answer in stored.items()}


def measure_deviation(answers: dict[str, torch.Tensor], known_answers: dict[str, str]) -> float:
    """How far answers lie from known ones, in units of the known ones' size: the largest of all kinds of answers."""
    deviations = []
    for name, answer in answers.items():
        known = torch.from_numpy(np.frombuffer(base64.b64decode(known_answers[name]), "<f4").copy())
        if known.numel() != answer.numel():
            return float("inf")
        deviations.append((answer.flatten() - known).norm() / known.norm().clamp(min=1e-6))
    # Not `max` of Python, which passes over NaN.
    return torch.stack(deviations).nan_to_num(nan=float("inf")).max().item()


def draw_patterns(num_channels: int, size: int | list[int]) -> torch.Tensor:
    """Waves of several lengths and directions, of shape `(2, num_channels, height, width)`, in normalised values."""
    height, width = (size, size) if isinstance(size, int) else size
    rows, columns = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)[None, :]
    patterns = []
    for number in range(NUM_PROBES * num_channels):
        waves = torch.cos((3 + 5 * number) * rows + (17 - 2 * number) * columns)
        patterns.append(waves + torch.sin((29 - 3 * number) * rows * columns + number))
    return torch.stack(patterns).view(NUM_PROBES, num_channels, height, width)


def _look(model: PreTrainedModel, tiles: torch.Tensor) -> SafeLlavaImageFeatures:
    """What the head reads of images that are a tile each and have a placeholder each."""
    tower, layers = model.model.vision_tower, model.model.vision_layers
    states = tower(tiles, output_hidden_states=True, return_dict=True).hidden_states
    patches, grid = read_patches(model.config, states, layers, tiles.shape)
    uncut = [TileGrid(0, 0, (tiles.shape[2], tiles.shape[3]))] * len(tiles)
    return SafeLlavaImageFeatures(
        patch_features=patches,
        patch_grid=grid,
        num_placeholders=[1] * len(tiles),
        tiles=uncut if model.model.safety_modules.reads_all_tiles else None,
    )


def _take_samples(states: torch.Tensor) -> torch.Tensor:
    """Entries from all over each probe's states, of shape `(2, n)`."""
    states = states.flatten(1)
    positions = torch.linspace(0, states.shape[1] - 1, min(NUM_SAMPLES, states.shape[1]), device=states.device)
    return states[:, positions.long()]
