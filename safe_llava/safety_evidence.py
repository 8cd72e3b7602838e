"""Why a row was flagged: which patches and which words the safety head's verdict rests on.

A patch or a word counts by what the verdict would lose without it. Attention alone does not say that: it may go to
something that speaks for "safe". Where the formulas stand: [`SafetyHead.measure_influence`].
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional as F


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
        of_pictures (`torch.FloatTensor` of shape `(num_images, num_visual_tokens)`):
            Logits that the lead of the picture's row loses without a visual token.
        of_text (`torch.FloatTensor` of shape `(batch_size, sequence_length)`):
            Logits that the lead loses without a token of the text.
        safety_token_attention (`torch.FloatTensor` of shape `(batch_size,)`):
            Share of the attention, mean over heads, that went to the safety tokens.
    """

    risk_type: torch.Tensor
    lead: torch.Tensor
    of_safety_tokens: torch.Tensor
    of_pictures: torch.Tensor
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
            the vision tower saw of each picture. Values of 0 or more, which sum up to those of the picture's visual
            tokens. A C-Abstractor mixes neighbouring patches, so its tokens mark places and not outlines.
        word_relevance (`torch.FloatTensor` of shape `(batch_size, sequence_length)`):
            For each token of the prompt, 0 or more; 0 at padding and picture placeholders. With
            `safety_head_pooling="first"` the first token is all that the head reads, so all others are 0.
        safety_token_attention (`torch.FloatTensor` of shape `(batch_size,)`):
            Share of the head's attention that went to the safety tokens, which are the same for every picture.
    """

    risk_type: torch.Tensor
    lead: torch.Tensor
    patch_relevance: list[torch.Tensor]
    word_relevance: torch.Tensor
    safety_token_attention: torch.Tensor


def locate_evidence(
    influence: SafetyInfluence,
    image_rows: torch.Tensor,
    token_grid: tuple[int, int],
    patch_grid: tuple[int, int],
    trusted: torch.Tensor,
) -> SafetyEvidence:
    """
    Puts the head's findings where a reader looks for them: on the patches of each row's pictures.

    Args:
        influence ([`SafetyInfluence`]): what the head measured.
        image_rows (`torch.LongTensor` of shape `(num_images,)`): the row that each picture belongs to.
        token_grid (`tuple[int, int]`): visual tokens per column and per row of a picture.
        patch_grid (`tuple[int, int]`): patches per column and per row.
        trusted (`torch.BoolTensor` of shape `(batch_size,)`): the rows whose verdict can be believed.
    """
    relevance = influence.of_pictures.clamp(min=0.0)
    maps = relevance.unflatten(1, token_grid)
    if len(image_rows) and token_grid != patch_grid:
        maps = F.interpolate(maps.unsqueeze(1), size=patch_grid, mode="bilinear", align_corners=False).squeeze(1)
        sums = maps.sum(dim=(1, 2)).clamp(min=torch.finfo(maps.dtype).tiny)
        maps = maps * (relevance.sum(dim=1) / sums)[:, None, None]
    maps = maps.masked_fill(~trusted[image_rows, None, None], 0.0)
    return SafetyEvidence(
        risk_type=influence.risk_type,
        lead=influence.lead.masked_fill(~trusted, 0.0),
        patch_relevance=[maps[image_rows == row] for row in range(len(trusted))],
        word_relevance=influence.of_text.clamp(min=0.0).masked_fill(~trusted[:, None], 0.0),
        safety_token_attention=influence.safety_token_attention.masked_fill(~trusted, 0.0),
    )
