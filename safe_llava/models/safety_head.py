"""The safety head: which risk level and which risk type an image and its question have.

Paper: "Safety Alignment for Vision Language Models", arXiv 2405.13581, section 3.2, with sizes from arXiv 2411.11543.
The paper's code reads the first text position only, a constant; `safety_head_pooling="question"` reads the question.
"""

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedConfig

from .safety_labels import FLAT, RISK_LEVELS, SAFETY_LEVELS, SAFETY_TYPES


# In logits below the least: a probability of no weight that stays finite at every temperature.
_FAR_BELOW = 20.0


class HeadInputs(NamedTuple):
    """What [`SafetyHead.forward`] takes."""

    text_embeds: torch.Tensor
    text_mask: torch.Tensor
    safety_tokens: torch.Tensor
    safety_features: torch.Tensor
    image_rows: torch.Tensor


class SafetyHead(nn.Module):
    """
    Cross-attention from one pooled text query to the safety tokens and safety features, then two linear classifiers.

    Plain linear layers stand in place of `nn.MultiheadAttention`, which quantisation and vLLM cannot handle. Their
    names are none that LoRA targets by default, such as `q_proj`, so that an adapter for the language model spares
    them.
    """

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        hidden_size = config.text_config.hidden_size
        self.num_heads = config.safety_head_num_attention_heads
        self.head_dim = hidden_size // self.num_heads
        self.query_layer = nn.Linear(hidden_size, hidden_size)
        self.key_layer = nn.Linear(hidden_size, hidden_size)
        self.value_layer = nn.Linear(hidden_size, hidden_size)
        self.output_layer = nn.Linear(hidden_size, hidden_size)
        self.level_classifier = nn.Linear(hidden_size, len(SAFETY_LEVELS))
        self.type_classifier = nn.Linear(hidden_size, len(SAFETY_TYPES))
        self.pooling = config.safety_head_pooling
        if self.pooling == "question":
            # Token embeddings are tiny (std 0.02), so unnormalised ones would leave both softmaxes flat.
            self.query_norm = nn.LayerNorm(hidden_size)
            self.key_norm = nn.LayerNorm(hidden_size)
            self.token_scores = nn.Linear(hidden_size, self.num_heads, bias=False)

    def pool_text(self, text_embeds: torch.Tensor, text_mask: torch.Tensor) -> torch.Tensor:
        """One query a row, of shape `(batch_size, num_heads, head_dim)`; zero where a row has no text."""
        if self.pooling == "first":
            first = text_mask.int().argmax(dim=1)
            queries = self.query_layer(text_embeds[torch.arange(len(first), device=first.device), first])
            return queries.view(-1, self.num_heads, self.head_dim)

        text_embeds, weights = self.weigh_text(text_embeds, text_mask)
        # A weighted sum of projections is the projection of the weighted sum, so one vector a head is projected.
        pooled = torch.einsum("blh,bld->bhd", weights.to(text_embeds.dtype), text_embeds)
        has_text = text_mask.any(dim=1)[:, None, None]
        return self.project_heads(self.query_layer, pooled) * has_text

    def weigh_text(self, text_embeds: torch.Tensor, text_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        What the queries are made of, of shape `(batch_size, sequence_length, hidden_size)`, and the float32 weight of
        each token in the row's query, of shape `(batch_size, sequence_length, num_heads)`.
        """
        if self.pooling == "first":
            is_first = text_mask & (text_mask.cumsum(dim=1) == 1)
            return text_embeds, is_first.float().unsqueeze(-1).expand(-1, -1, self.num_heads)
        text_embeds = self.query_norm(text_embeds)
        scores = self.token_scores(text_embeds).float()
        text_mask = text_mask.unsqueeze(-1)
        weights = scores.masked_fill(~text_mask, torch.finfo(scores.dtype).min).softmax(dim=1) * text_mask
        return text_embeds, weights

    def project_heads(self, layer: nn.Module, states: torch.Tensor) -> torch.Tensor:
        """
        Each head's part of a projection, of a vector of its own: `(batch_size, num_heads, hidden_size)` to
        `(batch_size, num_heads, head_dim)`. Through the layer, whose weight may be quantised or adapted.
        """
        projected = layer(states).unflatten(-1, (self.num_heads, self.head_dim))
        return projected.diagonal(dim1=1, dim2=2).transpose(1, 2)

    def attend(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """Float32 attention weights of shape `(num_queries, num_heads, num_keys)`, where all read the same keys."""
        return self.score("bhd,khd->bhk", queries, keys).softmax(dim=-1)

    def score(self, equation: str, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        return torch.einsum(equation, queries, keys).float() * self.head_dim**-0.5

    def read(
        self,
        queries: torch.Tensor,
        token_states: tuple[torch.Tensor, torch.Tensor],
        image_states: tuple[torch.Tensor, torch.Tensor],
        image_rows: torch.Tensor,
    ) -> torch.Tensor:
        """
        What each row attends to: a softmax over the safety tokens and over the features of its own images. Memory
        grows with the number of images, not with rows times images.

        Args:
            queries (`torch.Tensor` of shape `(batch_size, num_heads, head_dim)`): one query a row.
            token_states (`tuple[torch.Tensor, torch.Tensor]`):
                The safety tokens: keys of shape `(num_safety_tokens, num_heads, head_dim)`, and what the values are
                made of, of shape `(num_safety_tokens, hidden_size)`.
            image_states (`tuple[torch.Tensor, torch.Tensor]`):
                The images likewise, with `(num_images, num_visual_tokens)` in place of the first dimension.
            image_rows (`torch.LongTensor` of shape `(num_images,)`): the row that each image belongs to.

        Returns:
            `torch.Tensor` of shape `(batch_size, num_heads, head_dim)`; zero where a row has nothing to read.
        """
        of_tokens = self.score("bhd,khd->bkh", queries, token_states[0])
        of_images = self.score("nhd,nkhd->nkh", queries[image_rows], image_states[0])

        # The softmax of a row spans two tensors and any number of images; its largest score keeps `exp` in range.
        largest = F.pad(of_tokens.detach(), (0, 0, 1, 0), value=torch.finfo(of_tokens.dtype).min).amax(dim=1)
        index = image_rows.unsqueeze(1).expand(-1, self.num_heads)
        largest = largest.scatter_reduce(0, index, of_images.detach().amax(dim=1), "amax")
        of_tokens = (of_tokens - largest.unsqueeze(1)).exp()
        of_images = (of_images - largest[image_rows].unsqueeze(1)).exp()
        total = of_tokens.sum(dim=1).index_add(0, image_rows, of_images.sum(dim=1)).unsqueeze(1)

        # As with the queries: what a head reads is projected to its values after the weighted sum.
        dtype = token_states[1].dtype
        attended = torch.einsum("bkh,kd->bhd", (of_tokens / total).to(dtype), token_states[1])
        of_images = (of_images / total[image_rows]).to(dtype)
        attended = attended.index_add(0, image_rows, torch.einsum("nkh,nkd->nhd", of_images, image_states[1]))
        return self.project_heads(self.value_layer, attended) * (total.transpose(1, 2) > 0)

    def gate(self, attended: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
        # Two sums through linear layers cannot say "this image *and* this question"; a product can.
        return attended * queries.sigmoid() if self.pooling == "question" else attended

    def forward(
        self,
        text_embeds: torch.Tensor,
        text_mask: torch.Tensor,
        safety_tokens: torch.Tensor,
        safety_features: torch.Tensor,
        image_rows: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            text_embeds (`torch.Tensor` of shape `(batch_size, sequence_length, hidden_size)`):
                Token embeddings of the prompt.
            text_mask (`torch.BoolTensor` of shape `(batch_size, sequence_length)`):
                True where the prompt's text stands: no padding, no image, nothing of the answer.
            safety_tokens (`torch.Tensor` of shape `(num_safety_tokens, hidden_size)`):
                s1; every row reads them.
            safety_features (`torch.Tensor` of shape `(num_images, num_visual_tokens, hidden_size)`):
                h_s of all images of the batch, one after the other; of images that are cut, of all tiles.
            image_rows (`torch.LongTensor` of shape `(num_images,)`):
                The row that each image, or tile, belongs to. A row reads its own only.

        Returns:
            `tuple[torch.Tensor, torch.Tensor]`: float32 logits of shape `(batch_size, 4)` for the risk level and
            `(batch_size, 7)` for the risk type.
        """
        return self.classify(self.pool_text(text_embeds, text_mask), safety_tokens, safety_features, image_rows)

    def assess_each(
        self,
        text_embeds: torch.Tensor,
        text_mask: torch.Tensor,
        safety_tokens: torch.Tensor,
        safety_features: torch.Tensor,
        image_rows: torch.Tensor,
        tile_images: torch.Tensor,
        images: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        As [`SafetyHead.forward`], on each of some `images` (their numbers, in order) alone, with the text of its row:
        float32 logits of shape `(len(images), 4)` and `(len(images), 7)`. `tile_images` has the image of each tile.
        """
        tiles = torch.isin(tile_images, images).nonzero().squeeze(1)
        each = torch.searchsorted(images, tile_images[tiles])
        rows = torch.zeros_like(images).scatter(0, each, image_rows[tiles])
        queries = self.pool_text(text_embeds, text_mask)[rows]
        return self.classify(queries, safety_tokens, safety_features[tiles], each)

    def classify(
        self,
        queries: torch.Tensor,
        safety_tokens: torch.Tensor,
        safety_features: torch.Tensor,
        image_rows: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits of queries of shape `(num_queries, num_heads, head_dim)`, each of which reads its own images."""
        tokens, images = self.normalize_sources(safety_tokens, safety_features)
        token_keys, image_keys = self.split_heads(self.key_layer, tokens, images)
        attended = self.read(queries, (token_keys, tokens), (image_keys, images), image_rows)
        pooled = self.output_layer(self.gate(attended, queries).flatten(1))
        return self.level_classifier(pooled).float(), self.type_classifier(pooled).float()

    def normalize_sources(
        self, safety_tokens: torch.Tensor, safety_features: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What keys and values are made of: the safety tokens and the safety features, of their own shapes."""
        if self.pooling == "first":
            return safety_tokens, safety_features
        return self.key_norm(safety_tokens), self.key_norm(safety_features)

    def split_heads(
        self, layer: nn.Module, tokens: torch.Tensor, images: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        A projection of both sources, with `(num_heads, head_dim)` in place of `hidden_size`. In one call of the layer,
        for each call of a sharded or offloaded layer moves its weight.
        """
        states = layer(torch.cat([tokens, images.flatten(0, 1)])).unflatten(-1, (self.num_heads, self.head_dim))
        # `len` of a tensor would become a constant where the model is exported.
        num_tokens = tokens.shape[0]
        return states[:num_tokens], states[num_tokens:].unflatten(0, images.shape[:2])


def is_decided(level_logits: torch.Tensor, type_logits: torch.Tensor) -> torch.Tensor:
    """
    Marks the rows whose logits say something: finite, not all alike, and with one level above the others.

    Args:
        level_logits (`torch.FloatTensor` of shape `(batch_size, 4)`): scores of the risk levels.
        type_logits (`torch.FloatTensor` of shape `(batch_size, 7)`): scores of the risk types.

    Returns:
        `torch.BoolTensor` of shape `(batch_size,)`
    """
    best, second = level_logits.topk(2, dim=-1).values.unbind(dim=-1)
    return (best > second) & says_something(level_logits) & says_something(type_logits)


def says_something(logits: torch.Tensor) -> torch.Tensor:
    """Marks the rows whose logits are finite and not all alike; of shape `(batch_size,)`."""
    spread = logits.amax(dim=-1) - logits.amin(dim=-1)
    return logits.isfinite().all(dim=-1) & (spread > FLAT)


def raise_untaught_levels(level_logits: torch.Tensor, training: dict[str, Any] | None) -> torch.Tensor:
    """
    Gives the probability of each risk level of which no row was seen to the next higher one that was, or to "high":
    where data says only that there is a risk, how its probability is spread over the levels is an accident.

    Args:
        level_logits (`torch.FloatTensor` of shape `(batch_size, 4)`): scores of the risk levels.
        training (`dict`, *optional*): the config's `safety_training`, whose `rows` say what was seen.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, 4)`: the same scores where every level was seen, or nobody counted;
        and of rows that say nothing (see [`says_something`]).
    """
    rows = (training or {}).get("rows")
    counts = rows.get("level") if isinstance(rows, dict) else None
    untaught = [] if not isinstance(counts, dict) else [name for name in RISK_LEVELS[:-1] if not counts.get(name)]
    if not untaught:
        return level_logits
    says = says_something(level_logits)
    columns = list(level_logits.unbind(dim=-1))
    floor = level_logits.amin(dim=-1) - _FAR_BELOW
    for name in untaught:  # from the lowest up, so that what one is given goes on to the next
        index = SAFETY_LEVELS.index(name)
        columns[index + 1] = torch.logaddexp(columns[index], columns[index + 1])
        columns[index] = floor
    return torch.where(says.unsqueeze(-1), torch.stack(columns, dim=-1), level_logits)
