"""Risk levels that a head was never taught: it was shown risks, and not how grave they are."""

from typing import Any

import torch

from .safety_labels import RISK_LEVELS, SAFETY_LEVELS


# In logits below the least: a probability of no weight that stays finite at every temperature.
_FAR_BELOW = 20.0


def raise_untaught_levels(level_logits: torch.Tensor, training: dict[str, Any] | None) -> torch.Tensor:
    """
    Gives the probability of each risk level of which no row was seen to the next higher one that was, or to "high":
    where data says only that there is a risk, how its probability is spread over the levels is an accident.

    Args:
        level_logits (`torch.FloatTensor` of shape `(batch_size, 4)`): scores of the risk levels.
        training (`dict`, *optional*): the config's `safety_training`, whose `rows` say what was seen.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, 4)`: the same scores where every level was seen, or nobody counted.
    """
    rows = (training or {}).get("rows")
    counts = rows.get("level") if isinstance(rows, dict) else None
    untaught = [] if not isinstance(counts, dict) else [name for name in RISK_LEVELS[:-1] if not counts.get(name)]
    if not untaught:
        return level_logits
    columns = list(level_logits.unbind(dim=-1))
    floor = level_logits.amin(dim=-1) - _FAR_BELOW
    for name in untaught:  # from the lowest up, so that what one is given goes on to the next
        index = SAFETY_LEVELS.index(name)
        columns[index + 1] = torch.logaddexp(columns[index], columns[index + 1])
        columns[index] = floor
    return torch.stack(columns, dim=-1)
