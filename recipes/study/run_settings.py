"""What the runs of a study were made with: a grid that is run in parts may meet several machines and versions."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from .runs_file import Run


def gather_settings(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """
    The settings of runs, each once, the most frequent first.

    Args:
        runs (`Sequence[Run]`): the runs.

    Returns:
        `list[dict]`: `runs`, how many were made in it, and the `setting` (see [`describe_setting`]); `None` for runs
        that were kept before it was written down.
    """
    counts = Counter(json.dumps(run.get("setting"), sort_keys=True) for run in runs)
    return [{"runs": count, "setting": json.loads(setting)} for setting, count in counts.most_common()]


def name_machines(settings: Sequence[dict[str, Any]]) -> str:
    """The machines of [`gather_settings`] in words, with how many runs each made where there are several."""
    counts: Counter[str] = Counter()
    for each in settings:
        setting = each["setting"]
        counts[setting["machine"] if setting else "a machine that was not written down"] += each["runs"]
    if len(counts) == 1:
        return next(iter(counts))
    return "; ".join(f"{machine} ({count} runs)" for machine, count in counts.most_common())
