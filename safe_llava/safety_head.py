"""The safety tokens and the safety head: which risk level and which risk type a picture and its question have.

Paper: "Safety Alignment for Vision Language Models", arXiv 2405.13581, section 3.2, with sizes from arXiv 2411.11543.
The paper's code reads the first text position only, a constant; `safety_head_pooling="question"` reads the question.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedConfig

from .safety_evidence import SafetyInfluence
from .safety_labels import SAFE_TYPE_ID, SAFETY_LEVELS, SAFETY_TYPES


class SafetyTokens(nn.Module):
    """
    Two independent sets of learned tokens: `head_tokens` (s1, read by the safety head) and `prompt_tokens` (s2, put in
    front of each picture's features in the language model; a guard has none), each of shape
    `(num_safety_tokens, hidden_size)`.
    """

    def __init__(self, config: PreTrainedConfig, has_prompt_tokens: bool = True):
        super().__init__()
        size = (config.num_safety_tokens, config.text_config.hidden_size)
        self.head_tokens = nn.Parameter(torch.empty(size))
        self.prompt_tokens = nn.Parameter(torch.empty(size)) if has_prompt_tokens else None

    def forward(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.head_tokens, self.prompt_tokens


class SafetyHead(nn.Module):
    """
    Cross-attention from one pooled text query to the safety tokens and safety features, then two linear classifiers.

    Plain linear layers stand in place of `nn.MultiheadAttention`, which quantisation and vLLM cannot handle.
    """

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        hidden_size = config.text_config.hidden_size
        self.num_heads = config.safety_head_num_attention_heads
        self.head_dim = hidden_size // self.num_heads
        self.q_proj = nn.Linear(hidden_size, hidden_size)
        self.k_proj = nn.Linear(hidden_size, hidden_size)
        self.v_proj = nn.Linear(hidden_size, hidden_size)
        self.o_proj = nn.Linear(hidden_size, hidden_size)
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
            queries = self.q_proj(text_embeds[torch.arange(len(first), device=first.device), first])
            return queries.view(-1, self.num_heads, self.head_dim)

        text_embeds, weights = self.weigh_text(text_embeds, text_mask)
        # A weighted sum of projections is the projection of the weighted sum, so one vector a head is projected.
        pooled = torch.einsum("blh,bld->bhd", weights.to(text_embeds.dtype), text_embeds)
        has_text = text_mask.any(dim=1)[:, None, None]
        return self.project_heads(self.q_proj, pooled) * has_text

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
        picture_states: tuple[torch.Tensor, torch.Tensor],
        image_rows: torch.Tensor,
    ) -> torch.Tensor:
        """
        What each row attends to: a softmax over the safety tokens and over the features of its own pictures. Memory
        grows with the number of pictures, not with rows times pictures.

        Args:
            queries (`torch.Tensor` of shape `(batch_size, num_heads, head_dim)`): one query a row.
            token_states (`tuple[torch.Tensor, torch.Tensor]`):
                The safety tokens: keys of shape `(num_safety_tokens, num_heads, head_dim)`, and what the values are
                made of, of shape `(num_safety_tokens, hidden_size)`.
            picture_states (`tuple[torch.Tensor, torch.Tensor]`):
                The pictures likewise, with `(num_images, num_visual_tokens)` in place of the first dimension.
            image_rows (`torch.LongTensor` of shape `(num_images,)`): the row that each picture belongs to.

        Returns:
            `torch.Tensor` of shape `(batch_size, num_heads, head_dim)`; zero where a row has nothing to read.
        """
        of_tokens = self.score("bhd,khd->bkh", queries, token_states[0])
        of_pictures = self.score("nhd,nkhd->nkh", queries[image_rows], picture_states[0])

        # The softmax of a row spans two tensors and any number of pictures; its largest score keeps `exp` in range.
        largest = F.pad(of_tokens.detach(), (0, 0, 1, 0), value=torch.finfo(of_tokens.dtype).min).amax(dim=1)
        index = image_rows.unsqueeze(1).expand(-1, self.num_heads)
        largest = largest.scatter_reduce(0, index, of_pictures.detach().amax(dim=1), "amax")
        of_tokens = (of_tokens - largest.unsqueeze(1)).exp()
        of_pictures = (of_pictures - largest[image_rows].unsqueeze(1)).exp()
        total = of_tokens.sum(dim=1).index_add(0, image_rows, of_pictures.sum(dim=1)).unsqueeze(1)

        # As with the queries: what a head reads is projected to its values after the weighted sum.
        dtype = token_states[1].dtype
        attended = torch.einsum("bkh,kd->bhd", (of_tokens / total).to(dtype), token_states[1])
        of_pictures = (of_pictures / total[image_rows]).to(dtype)
        attended = attended.index_add(0, image_rows, torch.einsum("nkh,nkd->nhd", of_pictures, picture_states[1]))
        return self.project_heads(self.v_proj, attended) * (total.transpose(1, 2) > 0)

    def gate(self, attended: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
        # Two sums through linear layers cannot say "this picture *and* this question"; a product can.
        return attended * queries.sigmoid() if self.pooling == "question" else attended

    def forward(
        self,
        text_embeds: torch.Tensor,
        text_mask: torch.Tensor,
        safety_tokens: torch.Tensor,
        safety_features: torch.Tensor,
        image_rows: torch.Tensor,
        output_influence: bool = False,
    ) -> tuple[Any, ...]:
        """
        Args:
            text_embeds (`torch.Tensor` of shape `(batch_size, sequence_length, hidden_size)`):
                Token embeddings of the prompt.
            text_mask (`torch.BoolTensor` of shape `(batch_size, sequence_length)`):
                True where the prompt's text stands: no padding, no picture, nothing of the answer.
            safety_tokens (`torch.Tensor` of shape `(num_safety_tokens, hidden_size)`):
                s1; every row reads them.
            safety_features (`torch.Tensor` of shape `(num_images, num_visual_tokens, hidden_size)`):
                h_s of all pictures of the batch, one after the other.
            image_rows (`torch.LongTensor` of shape `(num_images,)`):
                The row that each picture belongs to. A row reads its own pictures only.
            output_influence (`bool`, *optional*, defaults to `False`):
                Whether to measure what the verdict owes to each token.

        Returns:
            `tuple[torch.Tensor, torch.Tensor]`: float32 logits of shape `(batch_size, 4)` for the risk level and
            `(batch_size, 7)` for the risk type. With `output_influence=True` a [`SafetyInfluence`] follows.
        """
        queries = self.pool_text(text_embeds, text_mask)

        keys = torch.cat([safety_tokens, safety_features.flatten(0, 1)])
        if self.pooling == "question":
            keys = self.key_norm(keys)
        sizes, heads = [len(safety_tokens), len(keys) - len(safety_tokens)], (self.num_heads, self.head_dim)

        def split(states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            of_tokens, of_pictures = states.split(sizes)
            return of_tokens, of_pictures.unflatten(0, safety_features.shape[:2])

        token_keys, picture_keys = split(self.k_proj(keys).unflatten(-1, heads))
        tokens, pictures = split(keys)

        attended = self.gate(self.read(queries, (token_keys, tokens), (picture_keys, pictures), image_rows), queries)
        pooled = self.o_proj(attended.flatten(1))
        level_logits, type_logits = self.level_classifier(pooled).float(), self.type_classifier(pooled).float()
        if not output_influence:
            return level_logits, type_logits
        token_values, picture_values = split(self.v_proj(keys).unflatten(-1, heads))
        influence = self.measure_influence(
            text_embeds,
            text_mask,
            (token_keys, token_values),
            (picture_keys, picture_values),
            image_rows,
            type_logits,
        )
        return level_logits, type_logits, influence

    def measure_influence(
        self,
        text_embeds: torch.Tensor,
        text_mask: torch.Tensor,
        token_states: tuple[torch.Tensor, torch.Tensor],
        picture_states: tuple[torch.Tensor, torch.Tensor],
        image_rows: torch.Tensor,
        type_logits: torch.Tensor,
    ) -> SafetyInfluence:
        """
        Leaves out one token at a time, without another run of the model. The head averages values with attention
        weights, and token queries with pooling weights; without a token it averages the others, their weights scaled
        up to a sum of 1. What becomes of the attended vector is linear but for the gate, which is recomputed.
        """
        risk_type = type_logits[:, :SAFE_TYPE_ID].argmax(dim=-1)
        num_tokens = len(token_states[0])
        of_tokens = type_logits.new_zeros(len(type_logits), num_tokens)
        of_pictures, of_text = (
            type_logits.new_zeros(picture_states[0].shape[:2]),
            type_logits.new_zeros(text_mask.shape),
        )
        attention = type_logits.new_zeros(len(risk_type))
        text_embeds, token_weights = self.weigh_text(text_embeds, text_mask)
        token_queries = self.q_proj(text_embeds).unflatten(-1, (self.num_heads, self.head_dim))
        # Row by row, for prompts times pictures of a whole batch would not fit into memory.
        for row, words in enumerate(text_mask):
            row_queries, row_weights = token_queries[row, words].float(), token_weights[row, words].unsqueeze(-1)
            own = image_rows == row
            row_keys, row_values = (
                torch.cat([shared, pictures[own].flatten(0, 1)]).float()
                for shared, pictures in zip(token_states, picture_states)
            )
            query = (row_weights * row_queries).sum(dim=0, keepdim=True)
            weights = self.attend(query, row_keys)
            attended = self.gate(torch.einsum("bhk,khd->bhd", weights, row_values), query)
            attention[row] = weights[..., :num_tokens].sum(dim=-1).mean()

            without = _average_of_others(weights.squeeze(0).T.unsqueeze(-1), row_values)
            lost = self._lead_of(attended - self.gate(without, query), risk_type[row])
            of_tokens[row] = lost[:num_tokens]
            of_pictures[own] = lost[num_tokens:].unflatten(0, of_pictures[own].shape)

            queries = _average_of_others(row_weights, row_queries)
            without = torch.einsum("bhk,khd->bhd", self.attend(queries, row_keys), row_values)
            of_text[row, words] = self._lead_of(attended - self.gate(without, queries), risk_type[row])
        lead = type_logits.gather(1, risk_type[:, None]).squeeze(1) - type_logits[:, SAFE_TYPE_ID]
        return SafetyInfluence(risk_type, lead, of_tokens, of_pictures, of_text, attention)

    def _lead_of(self, attended: torch.Tensor, risk_type: torch.Tensor) -> torch.Tensor:
        """How far parts of the attended vector, of shape `(n, num_heads, head_dim)`, put a risk type before "safe"."""
        # Through the layers, for weights may be quantised. At size 1, parts do not drown in half-precision biases.
        size = attended.abs().amax(dim=(1, 2)).clamp(min=torch.finfo(attended.dtype).tiny)
        parts = F.pad((attended / size[:, None, None]).flatten(1), (0, 0, 0, 1)).to(self.o_proj.bias.dtype)
        logits = self.type_classifier(self.o_proj(parts)).float()
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
