"""The classification loss of the safety head.

Paper: L = L_LM + 10 * (CE(level) + CE(type)), "Safety Alignment for Vision Language Models", arXiv 2405.13581,
section 3.3. The weight is `config.safety_loss_coef`.
"""

import torch
from torch.nn import functional as F


def safety_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, mean over the rows whose label is not -100; 0 (with a graph) where no row has a label."""
    labels = labels.to(logits.device)
    loss = F.cross_entropy(logits, labels, ignore_index=-100, reduction="sum")
    return loss / (labels != -100).sum().clamp(min=1)
