"""The safety tokens: two learned sets, one for the safety head and one for the language model.

Paper: "Safety Alignment for Vision Language Models", arXiv 2405.13581, section 3.2.
"""

import torch
from torch import nn
from transformers import PreTrainedConfig


class SafetyTokens(nn.Module):
    """
    Two independent sets of learned tokens: `head_tokens` (s1, read by the safety head) and `prompt_tokens` (s2, put in
    front of each image's features in the language model; a guard has none), each of shape
    `(num_safety_tokens, hidden_size)`.
    """

    def __init__(self, config: PreTrainedConfig, has_prompt_tokens: bool = True):
        super().__init__()
        size = (config.num_safety_tokens, config.text_config.hidden_size)
        self.head_tokens = nn.Parameter(torch.empty(size))
        self.prompt_tokens = nn.Parameter(torch.empty(size)) if has_prompt_tokens else None

    def forward(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.head_tokens, self.prompt_tokens
