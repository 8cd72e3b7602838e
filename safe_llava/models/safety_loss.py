"""The loss of the safety head, of rows whose class is known, known to be one of several, or not known.

Labels are either class indices of shape `(batch_size,)`, -100 where nothing is known, or a mask of possible classes of
shape `(batch_size, num_classes)` and dtype bool. A row of the mask with every class, or with none, says nothing.
"""

import math

import torch
from torch.nn import functional as F


def safety_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """
    -log of the probability of the row's class, or of the set of its possible classes; summed over the rows and divided
    by what their labels tell together, [`label_information`]. Of rows with one class each it is the mean. 0 (with a
    graph) where no row has a label.

    Args:
        logits (`torch.Tensor` of shape `(batch_size, num_classes)`): of level or of type.
        labels (`torch.Tensor` of shape `(batch_size,)` or `(batch_size, num_classes)`): class indices, or a mask.

    Raises:
        ValueError: if labels have another shape or dtype.
    """
    total = _negative_log_probs(logits, labels, "sum")
    information = label_information(labels).to(logits.device).sum()
    return total / torch.where(information > 0, information, 1)


def safety_row_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """As [`safety_cross_entropy`] for each row, of shape `(batch_size,)`; 0 where a row has no label."""
    return _negative_log_probs(logits, labels, "none")


def has_label(labels: torch.Tensor) -> torch.Tensor:
    """Which rows say something about their class, of shape `(batch_size,)`."""
    if labels.dtype != torch.bool:
        return labels != -100
    return labels.any(dim=1) & ~labels.all(dim=1)


def label_information(labels: torch.Tensor) -> torch.Tensor:
    """
    What each row says about its class, of shape `(batch_size,)` and dtype float32: 1 where it is one class, 0 where it
    says nothing, and of a set of k out of n possible classes 1 - log(k) / log(n). Divided by it, the loss of a set
    weighs as much as that of one class to a head that knows nothing, and sets that say little do not water down the
    rows that say more.
    """
    if labels.dtype != torch.bool:
        return has_label(labels).float()
    num_possible = labels.sum(dim=1).clamp(min=1)
    return torch.where(has_label(labels), 1 - num_possible.log() / math.log(labels.shape[1]), 0.0)


def single_classes(labels: torch.Tensor) -> torch.Tensor:
    """The class of each row where one alone is possible, else -100; of shape `(batch_size,)`."""
    if labels.dtype != torch.bool:
        return labels
    return torch.where(labels.sum(dim=1) == 1, labels.long().argmax(dim=1), -100)


def excludes(labels: torch.Tensor, index: int) -> torch.Tensor:
    """Which rows are known not to be of a class, of shape `(batch_size,)`."""
    if labels.dtype != torch.bool:
        return (labels != -100) & (labels != index)
    return has_label(labels) & ~labels[:, index]


def are_possible(predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """In which rows the class that was found, of shape `(batch_size,)`, is the labelled one or one of several."""
    if labels.dtype != torch.bool:
        return predictions == labels
    return labels.gather(1, predictions.unsqueeze(1)).squeeze(1)


def _negative_log_probs(logits: torch.Tensor, labels: torch.Tensor, reduction: str) -> torch.Tensor:
    labels = labels.to(logits.device)
    is_mask = labels.dtype == torch.bool
    if labels.shape != (logits.shape if is_mask else logits.shape[:1]):
        raise ValueError(
            f"Safety labels must be class indices of shape ({len(logits)},) or a bool mask of possible classes of "
            f"shape {tuple(logits.shape)}, not {labels.dtype} of shape {tuple(labels.shape)}."
        )
    if not is_mask:
        return F.cross_entropy(logits, labels, ignore_index=-100, reduction=reduction)
    is_labelled = has_label(labels)
    # A row without a label is ignored below, but over an empty set its gradient would not be finite.
    impossible = ~labels & is_labelled.unsqueeze(1)
    log_probs = logits.log_softmax(dim=1).masked_fill(impossible, -torch.inf).logsumexp(dim=1, keepdim=True)
    # Torch's own loss adds up the rows, in the order of its cross-entropy, so that one class gives the same bits.
    return F.nll_loss(log_probs, torch.where(is_labelled, 0, -100), ignore_index=-100, reduction=reduction)
