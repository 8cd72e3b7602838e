"""Why a row was flagged: which patches and which words the safety head's verdict rests on.

A patch or a word counts by what the verdict would lose without it. Attention alone does not say that: it may go to
something that speaks for "safe". The formulas stand in [`measure_influence`].
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional as F

from .image_tiles import spread_map
from .safety_head import SafetyHead
from .safety_labels import SAFE_TYPE_ID


class SafetyInfluence(NamedTuple):
    """
    What the head's lead, the logit of a row's strongest risk type minus that of "safe", owes to each thing it read.

    Args:
        risk_type (`torch.LongTensor` of shape `(batch_size,)`):
            The risk type with the largest logit.
        lead (`torch.FloatTensor` of shape `(batch_size,)`):
            Its logit minus that of "safe".
        of_safety_tokens (`torch.FloatTensor` of shape `(batch_size, num_safety_tokens)`):
            Logits that the lead loses without a safety token, negative where it gains.
        of_images (`torch.FloatTensor` of shape `(num_images, num_visual_tokens)`):
            Logits that the lead of the image's row loses without a visual token.
        of_text (`torch.FloatTensor` of shape `(batch_size, sequence_length)`):
            Logits that the lead loses without a token of the text.
        safety_token_attention (`torch.FloatTensor` of shape `(batch_size,)`):
            Share of the attention, mean over heads, that went to the safety tokens.
    """

    risk_type: torch.Tensor
    lead: torch.Tensor
    of_safety_tokens: torch.Tensor
    of_images: torch.Tensor
    of_text: torch.Tensor
    safety_token_attention: torch.Tensor


@dataclass
class SafetyEvidence:
    """
    What speaks for each row's strongest risk type and against "safe", in logits; see [`SafetyInfluence`]. Single
    losses do not add up to the whole: of two patches that show the same thing, the head can spare either.

    All is zero where the verdict is not trusted, for there is nothing to explain.

    Args:
        risk_type (`torch.LongTensor` of shape `(batch_size,)`):
            The explained type, an index into [`RISK_TYPES`]: the strongest one, also where "safe" is stronger still.
        lead (`torch.FloatTensor` of shape `(batch_size,)`):
            Its logit minus that of "safe", before any temperature: below 0 where the head says "safe".
        patch_relevance (`list[torch.FloatTensor]`):
            For each row a tensor of shape `(num_images_of_the_row, patches_per_column, patches_per_row)`, over what
            the vision tower saw of each image; where the head reads all tiles, as fine as the finest of these. Values
            of 0 or more, which sum up to those of the image's visual tokens. A C-Abstractor mixes neighbouring
            patches, so its tokens mark places and not outlines.
        word_relevance (`torch.FloatTensor` of shape `(batch_size, sequence_length)`):
            For each token of the prompt, 0 or more; 0 at padding and image placeholders. With
            `safety_head_pooling="first"` the first token is all that the head reads, so all others are 0.
        safety_token_attention (`torch.FloatTensor` of shape `(batch_size,)`):
            Share of the head's attention that went to the safety tokens, which are the same for every image.
    """

    risk_type: torch.Tensor
    lead: torch.Tensor
    patch_relevance: list[torch.Tensor]
    word_relevance: torch.Tensor
    safety_token_attention: torch.Tensor


def map_relevance(of_images: torch.Tensor, token_grid: tuple[int, int], patch_grid: tuple[int, int]) -> torch.Tensor:
    """
    What counts in favour of the risk, on the patches of each image or tile: of shape `(num_tiles, *patch_grid)`, with
    the sum of its visual tokens.

    Args:
        of_images (`torch.FloatTensor` of shape `(num_tiles, num_visual_tokens)`): see [`SafetyInfluence`].
        token_grid (`tuple[int, int]`): visual tokens per column and per row.
        patch_grid (`tuple[int, int]`): patches per column and per row.
    """
    maps = of_images.clamp(min=0.0).unflatten(1, token_grid)
    if not len(maps) or token_grid == patch_grid:
        return maps
    return torch.stack([spread_map(values, patch_grid) for values in maps])


def locate_evidence(
    influence: SafetyInfluence, maps: torch.Tensor, image_rows: torch.Tensor, trusted: torch.Tensor
) -> SafetyEvidence:
    """
    Puts the head's findings where a reader looks for them: on each row's images.

    Args:
        influence ([`SafetyInfluence`]): what the head measured.
        maps (`torch.FloatTensor` of shape `(num_images, height, width)`): where in each image it speaks for the risk.
        image_rows (`torch.LongTensor` of shape `(num_images,)`): the row that each image belongs to.
        trusted (`torch.BoolTensor` of shape `(batch_size,)`): the rows whose verdict can be believed.
    """
    maps = maps.masked_fill(~trusted[image_rows, None, None], 0.0)
    return SafetyEvidence(
        risk_type=influence.risk_type,
        lead=influence.lead.masked_fill(~trusted, 0.0),
        patch_relevance=[maps[image_rows == row] for row in range(len(trusted))],
        word_relevance=influence.of_text.clamp(min=0.0).masked_fill(~trusted[:, None], 0.0),
        safety_token_attention=influence.safety_token_attention.masked_fill(~trusted, 0.0),
    )


def measure_influence(
    head: SafetyHead,
    text_embeds: torch.Tensor,
    text_mask: torch.Tensor,
    safety_tokens: torch.Tensor,
    safety_features: torch.Tensor,
    image_rows: torch.Tensor,
    type_logits: torch.Tensor,
) -> SafetyInfluence:
    """
    What the head's verdict owes to each thing it read. Takes what [`SafetyHead.forward`] takes, and its `type_logits`.

    Leaves out one token at a time, without another run of the model. The head averages values with attention
    weights, and token queries with pooling weights; without a token it averages the others, their weights scaled
    up to a sum of 1. What becomes of the attended vector is linear but for the gate, which is recomputed.
    """
    tokens, images = head.normalize_sources(safety_tokens, safety_features)
    token_keys, image_keys = head.split_heads(head.key_layer, tokens, images)
    token_values, image_values = head.split_heads(head.value_layer, tokens, images)
    token_states, image_states = (token_keys, token_values), (image_keys, image_values)
    risk_type = type_logits[:, :SAFE_TYPE_ID].argmax(dim=-1)
    num_tokens = len(token_states[0])
    of_tokens = type_logits.new_zeros(len(type_logits), num_tokens)
    of_images, of_text = (
        type_logits.new_zeros(image_states[0].shape[:2]),
        type_logits.new_zeros(text_mask.shape),
    )
    attention = type_logits.new_zeros(len(risk_type))
    text_embeds, token_weights = head.weigh_text(text_embeds, text_mask)
    token_queries = head.query_layer(text_embeds).unflatten(-1, (head.num_heads, head.head_dim))
    # Row by row, for prompts times images of a whole batch would not fit into memory.
    for row, words in enumerate(text_mask):
        row_queries, row_weights = token_queries[row, words].float(), token_weights[row, words].unsqueeze(-1)
        own = image_rows == row
        row_keys, row_values = (
            torch.cat([shared, images[own].flatten(0, 1)]).float()
            for shared, images in zip(token_states, image_states)
        )
        query = (row_weights * row_queries).sum(dim=0, keepdim=True)
        weights = head.attend(query, row_keys)
        attended = head.gate(torch.einsum("bhk,khd->bhd", weights, row_values), query)
        attention[row] = weights[..., :num_tokens].sum(dim=-1).mean()

        without = _average_of_others(weights.squeeze(0).T.unsqueeze(-1), row_values)
        lost = _lead_of(head, attended - head.gate(without, query), risk_type[row])
        of_tokens[row] = lost[:num_tokens]
        of_images[own] = lost[num_tokens:].unflatten(0, of_images[own].shape)

        queries = _average_of_others(row_weights, row_queries)
        without = torch.einsum("bhk,khd->bhd", head.attend(queries, row_keys), row_values)
        lost = _lead_of(head, attended - head.gate(without, queries), risk_type[row])
        # Without a word that has no weight nothing is lost, whatever a processor rounds to.
        of_text[row, words] = lost.masked_fill(~row_weights.flatten(1).any(dim=-1), 0.0)
    lead = type_logits.gather(1, risk_type[:, None]).squeeze(1) - type_logits[:, SAFE_TYPE_ID]
    return SafetyInfluence(risk_type, lead, of_tokens, of_images, of_text, attention)


def _lead_of(head: SafetyHead, attended: torch.Tensor, risk_type: torch.Tensor) -> torch.Tensor:
    """How far parts of the attended vector, of shape `(n, num_heads, head_dim)`, put a risk type before "safe"."""
    # Through the layers, for weights may be quantised. At size 1, parts do not drown in half-precision biases.
    size = attended.abs().amax(dim=(1, 2)).clamp(min=torch.finfo(attended.dtype).tiny)
    parts = F.pad((attended / size[:, None, None]).flatten(1), (0, 0, 0, 1)).to(head.output_layer.bias.dtype)
    logits = head.type_classifier(head.output_layer(parts)).float()
    lead = logits[:, risk_type] - logits[:, SAFE_TYPE_ID]
    return (lead[:-1] - lead[-1]) * size


def _average_of_others(weights: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """For each of n vectors, shape `(n, num_heads, head_dim)`, the weighted average of all but it; zero if alone."""
    mass = _sum_of_others(weights).clamp(min=torch.finfo(weights.dtype).tiny)
    return _sum_of_others(weights * vectors) / mass


def _sum_of_others(values: torch.Tensor) -> torch.Tensor:
    """Sums over the first dimension without each entry, exact also where one entry is nearly all of the sum."""
    padded = F.pad(values, (0, 0, 0, 0, 1, 1))
    return padded[:-2].cumsum(dim=0) + padded[2:].flip(0).cumsum(dim=0).flip(0)
