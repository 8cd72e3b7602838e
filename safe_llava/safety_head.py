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
    front of each picture's features in the language model), each of shape `(num_safety_tokens, hidden_size)`.
    """

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        size = (config.num_safety_tokens, config.text_config.hidden_size)
        self.head_tokens = nn.Parameter(torch.empty(size))
        self.prompt_tokens = nn.Parameter(torch.empty(size))

    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
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

        queries, weights = self.weigh_text(text_embeds, text_mask)
        return (weights.to(queries.dtype).unsqueeze(-1) * queries).sum(dim=1)

    def weigh_text(self, text_embeds: torch.Tensor, text_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        The query of each token, of shape `(batch_size, sequence_length, num_heads, head_dim)`, and its float32 weight
        in the row's query, of shape `(batch_size, sequence_length, num_heads)`.
        """
        if self.pooling == "question":
            text_embeds = self.query_norm(text_embeds)
        queries = self.q_proj(text_embeds).unflatten(-1, (self.num_heads, self.head_dim))
        if self.pooling == "first":
            is_first = text_mask & (text_mask.cumsum(dim=1) == 1)
            return queries, is_first.float().unsqueeze(-1).expand(-1, -1, self.num_heads)
        scores = self.token_scores(text_embeds).float()
        text_mask = text_mask.unsqueeze(-1)
        weights = scores.masked_fill(~text_mask, torch.finfo(scores.dtype).min).softmax(dim=1) * text_mask
        return queries, weights

    def attend(self, queries: torch.Tensor, keys: torch.Tensor, readable: torch.Tensor) -> torch.Tensor:
        """Float32 attention weights of shape `(batch_size, num_heads, num_keys)`."""
        scores = torch.einsum("bhd,khd->bhk", queries, keys).float() * self.head_dim**-0.5
        return scores.masked_fill(~readable, torch.finfo(scores.dtype).min).softmax(dim=-1) * readable

    def gate(self, attended: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
        # Two sums through linear layers cannot say "this picture *and* this question"; a product can.
        return attended * queries.sigmoid() if self.pooling == "question" else attended

    def forward(
        self,
        text_embeds: torch.Tensor,
        text_mask: torch.Tensor,
        safety_tokens: torch.Tensor,
        safety_features: torch.Tensor,
        feature_rows: torch.Tensor,
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
            safety_features (`torch.Tensor` of shape `(num_images * num_visual_tokens, hidden_size)`):
                h_s of all pictures of the batch, one after the other.
            feature_rows (`torch.LongTensor` of shape `(num_images * num_visual_tokens,)`):
                The row that each feature belongs to. A row reads its own pictures only.
            output_influence (`bool`, *optional*, defaults to `False`):
                Whether to measure what the verdict owes to each token.

        Returns:
            `tuple[torch.Tensor, torch.Tensor]`: float32 logits of shape `(batch_size, 4)` for the risk level and
            `(batch_size, 7)` for the risk type. With `output_influence=True` a [`SafetyInfluence`] follows.
        """
        batch_size = text_embeds.shape[0]
        queries = self.pool_text(text_embeds, text_mask)

        keys = torch.cat([safety_tokens, safety_features])
        if self.pooling == "question":
            keys = self.key_norm(keys)
        values = self.v_proj(keys).view(-1, self.num_heads, self.head_dim)
        keys = self.k_proj(keys).view(-1, self.num_heads, self.head_dim)

        reads_features = feature_rows == torch.arange(batch_size, device=feature_rows.device).unsqueeze(1)
        reads_tokens = reads_features.new_ones(batch_size, safety_tokens.shape[0])
        readable = torch.cat([reads_tokens, reads_features], dim=1).unsqueeze(1)

        weights = self.attend(queries, keys, readable)
        attended = self.gate(torch.einsum("bhk,khd->bhd", weights.to(values.dtype), values), queries)
        pooled = self.o_proj(attended.flatten(1))
        level_logits, type_logits = self.level_classifier(pooled).float(), self.type_classifier(pooled).float()
        if not output_influence:
            return level_logits, type_logits
        influence = self.measure_influence(
            text_embeds, text_mask, keys, values, readable.squeeze(1), len(safety_tokens), type_logits
        )
        return level_logits, type_logits, influence

    def measure_influence(
        self,
        text_embeds: torch.Tensor,
        text_mask: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        readable: torch.Tensor,
        num_safety_tokens: int,
        type_logits: torch.Tensor,
    ) -> SafetyInfluence:
        """
        Leaves out one token at a time, without another run of the model. The head averages values with attention
        weights, and token queries with pooling weights; without a token it averages the others, their weights scaled
        up to a sum of 1. What becomes of the attended vector is linear but for the gate, which is recomputed.
        """
        risk_type = type_logits[:, :SAFE_TYPE_ID].argmax(dim=-1)
        of_keys, of_text = type_logits.new_zeros(readable.shape), type_logits.new_zeros(text_mask.shape)
        attention = type_logits.new_zeros(len(risk_type))
        token_queries, token_weights = self.weigh_text(text_embeds, text_mask)
        # Row by row, for prompts times pictures of a whole batch would not fit into memory.
        for row, (words, read) in enumerate(zip(text_mask, readable)):
            row_queries, row_weights = token_queries[row, words].float(), token_weights[row, words].unsqueeze(-1)
            row_keys, row_values = keys[read].float(), values[read].float()
            everything = readable.new_ones(1, 1, len(row_keys))
            query = (row_weights * row_queries).sum(dim=0, keepdim=True)
            weights = self.attend(query, row_keys, everything)
            attended = self.gate(torch.einsum("bhk,khd->bhd", weights, row_values), query)
            attention[row] = weights[..., :num_safety_tokens].sum(dim=-1).mean()

            without = _average_of_others(weights.squeeze(0).T.unsqueeze(-1), row_values)
            of_keys[row, read] = self._lead_of(attended - self.gate(without, query), risk_type[row])

            queries = _average_of_others(row_weights, row_queries)
            without = torch.einsum("bhk,khd->bhd", self.attend(queries, row_keys, everything), row_values)
            of_text[row, words] = self._lead_of(attended - self.gate(without, queries), risk_type[row])
        lead = type_logits.gather(1, risk_type[:, None]).squeeze(1) - type_logits[:, SAFE_TYPE_ID]
        return SafetyInfluence(risk_type, lead, of_keys, of_text, attention)

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
