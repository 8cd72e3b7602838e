"""Digests of the weights that verdicts rest on, which tell whether they are still the ones that a training left."""

import hashlib
import re
from collections.abc import Iterator

import torch
from transformers import PreTrainedModel

from .vision_features import count_vision_layers


_PLAIN_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
# No cast changes these, which count or mask something; quantised weights are narrower.
_EXACT_DTYPES = (torch.int64, torch.bool)
# What a cast, or a cast of a cast, makes of the weights. A wider type holds each of them exactly.
_CASTS = (
    (torch.bfloat16,),
    (torch.float16,),
    (torch.float16, torch.bfloat16),
    (torch.bfloat16, torch.float16),
)


def digest_weights(model: PreTrainedModel, vocab_size: int) -> list[str]:
    """
    SHA-256 digests of the weights that verdicts rest on, one for each way of casting them to half precision.

    Args:
        model ([`SafeLlavaForConditionalGeneration`] or [`SafeLlavaForSafetyClassification`]): a model with a head.
        vocab_size (`int`): number of token embeddings that count, so that tokens may be added.

    Returns:
        `list[str]`
    """
    return [_digest(model, vocab_size, cast) for cast in _CASTS]


def matches_digest(model: PreTrainedModel, vocab_size: int, digests: list[str]) -> bool | None:
    """
    Whether weights are those of which `digest_weights` was taken, up to a cast to half precision.

    Returns:
        `bool` or `None`: `None` where the weights cannot be compared, being quantised, sharded or offloaded.
    """
    if any(type(weight) is not torch.Tensor or weight.is_meta for weight in _list_weights(model, vocab_size)):
        return None
    if any(weight.dtype not in _PLAIN_DTYPES + _EXACT_DTYPES for weight in _list_weights(model, vocab_size)):
        return None
    return any(_digest(model, vocab_size, cast) in digests for cast in _CASTS[:2])


def _digest(model: PreTrainedModel, vocab_size: int, casts: tuple[torch.dtype, ...]) -> str:
    digest = hashlib.sha256()
    for weight in _list_weights(model, vocab_size):
        digest.update(repr(tuple(weight.shape)).encode())
        for dtype in () if weight.dtype in _EXACT_DTYPES else casts:
            weight = weight.to(dtype)
        digest.update(weight.contiguous().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _list_weights(model: PreTrainedModel, vocab_size: int) -> Iterator[torch.Tensor]:
    """In the order in which they are defined: their names differ between versions of transformers."""
    yield model.get_input_embeddings().weight.detach()[:vocab_size]
    num_layers = count_vision_layers(model.config)
    for name, weight in model.model.vision_tower.state_dict().items():
        # A guard has no layers behind the last one that is read.
        layer = re.search(r"\.layers\.(\d+)\.", name)
        if num_layers is None or layer is None or int(layer[1]) < num_layers:
            yield weight
    for name, weight in model.model.safety_modules.state_dict().items():
        if name != "tokens.prompt_tokens":
            yield weight
