"""A verdict as bars: the levels in order, the risk types with the thresholds of a policy as lines."""

from html import escape
from typing import Any

from ..models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from ..models.safety_policy import SafetyPolicy
from ..pages.risk_words import RISK_WORDS
from .decision_reason import sum_quotients


def draw_bars(verdict: dict[str, Any], policy: SafetyPolicy) -> str:
    """
    Args:
        verdict (`dict`): a row of [`SafetyVerdict.to_list`].
        policy ([`SafetyPolicy`]): whose actions stand at the levels, and whose thresholds are the lines.

    Returns:
        `str`: HTML.
    """
    levels = [
        _bar(
            level,
            verdict["level_probs"][level],
            f"level-{level}",
            is_chosen=level == verdict["level"],
            note="answer" if level == "none" else policy.actions[level],
        )
        for level in SAFETY_LEVELS
    ]
    types = []
    for name in SAFETY_TYPES:
        share, rule = verdict["type_probs"][name], policy.types.get(name)
        if rule is None:
            types.append(_bar(RISK_WORDS[name], share, "safe", is_chosen=name == verdict["type"]))
        elif not rule["enabled"]:
            types.append(_bar(RISK_WORDS[name], share, "off", is_chosen=name == verdict["type"], note="off"))
        else:
            reached = share >= rule["threshold"]
            types.append(
                _bar(
                    RISK_WORDS[name],
                    share,
                    "over" if reached else "under",
                    is_chosen=name == verdict["type"],
                    note="over" if reached else "",
                    threshold=rule["threshold"],
                )
            )
    together = sum_quotients(verdict["type_probs"], policy)
    some_risk = ""
    if policy.level_threshold is not None:
        share = 1 - verdict["level_probs"]["none"]
        some_risk = f'<p class="together">Some risk: {share:.1%}; {policy.level_threshold:.1%} is risky.</p>'
    return (
        f'<div class="bars" role="group" aria-label="Risk level"><h3>Risk level</h3>{"".join(levels)}{some_risk}</div>'
        f'<div class="bars" role="group" aria-label="Risk type"><h3>Risk type, and thresholds</h3>{"".join(types)}'
        f'<p class="together">Together, in parts of their thresholds: {together:.2f}; 1 is risky.</p></div>'
    )


def _bar(
    name: str, share: float, kind: str, is_chosen: bool = False, note: str = "", threshold: float | None = None
) -> str:
    line, said = "", f"{name} {share:.1%}"
    if threshold is not None:
        line = f'<span class="threshold" style="left:{100 * threshold:.2f}%"></span>'
        said += f", threshold {threshold:.1%}"
    return (
        f'<div class="bar {kind}{" chosen" if is_chosen else ""}" role="img" aria-label="{escape(said)}">'
        f'<span class="bar-name">{escape(name)}</span>'
        f'<span class="track"><span class="fill" style="width:{100 * share:.2f}%"></span>{line}</span>'
        f'<span class="share">{share:.1%}</span><span class="note">{escape(note)}</span></div>'
    )
