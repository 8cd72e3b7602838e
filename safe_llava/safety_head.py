"""The safety tokens and the safety head: which risk level and which risk type a picture and its question have.

Paper: "Safety Alignment for Vision Language Models", arXiv 2405.13581, section 3.2, with sizes from arXiv 2411.11543.
The paper's code reads the first text position only, a constant; `safety_head_pooling="question"` reads the question.
"""

import torch
from torch import nn
from transformers import PreTrainedConfig

from .safety_labels import SAFETY_LEVELS, SAFETY_TYPES


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

        text_embeds = self.query_norm(text_embeds)
        queries = self.q_proj(text_embeds).unflatten(-1, (self.num_heads, self.head_dim))
        scores = self.token_scores(text_embeds).float()
        text_mask = text_mask.unsqueeze(-1)
        weights = scores.masked_fill(~text_mask, torch.finfo(scores.dtype).min).softmax(dim=1) * text_mask
        return (weights.to(queries.dtype).unsqueeze(-1) * queries).sum(dim=1)

    def forward(
        self,
        text_embeds: torch.Tensor,
        text_mask: torch.Tensor,
        safety_tokens: torch.Tensor,
        safety_features: torch.Tensor,
        feature_rows: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
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

        Returns:
            `tuple[torch.Tensor, torch.Tensor]`: float32 logits of shape `(batch_size, 4)` for the risk level and
            `(batch_size, 7)` for the risk type.
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

        scores = torch.einsum("bhd,khd->bhk", queries, keys).float() * self.head_dim**-0.5
        weights = scores.masked_fill(~readable, torch.finfo(scores.dtype).min).softmax(dim=-1) * readable
        attended = torch.einsum("bhk,khd->bhd", weights.to(values.dtype), values)
        if self.pooling == "question":
            # Two sums through linear layers cannot say "this picture *and* this question"; a product can.
            attended = attended * queries.sigmoid()
        pooled = self.o_proj(attended.flatten(1))
        return self.level_classifier(pooled).float(), self.type_classifier(pooled).float()
