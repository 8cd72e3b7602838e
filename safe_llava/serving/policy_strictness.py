"""Whether what a request asks of the policy makes it stricter, which is all that a request may do."""

from typing import Any

from ..models.safety_policy import ACTIONS, SEVERAL_RISKS, UNFAMILIAR, SafetyPolicy
from .request_errors import RequestError


def make_stricter(policy: SafetyPolicy, changes: dict[str, Any]) -> SafetyPolicy:
    """
    The operator's policy with the changes of a request.

    Args:
        policy ([`SafetyPolicy`]): the operator's.
        changes (`dict`): the fields that the request names: types switched on, thresholds lowered (that of the level
            to 0.5 at most where there is none, for the most probable level may not have more), actions raised from
            answer to hint to refuse, several risks named all, and unfamiliar images refused.

    Raises:
        RequestError: if a change is invalid, looser, or of a text, a temperature or a guarantee, which are the
            operator's.
    """
    try:
        changed = policy.updated(changes)
    except (ValueError, TypeError) as error:
        raise RequestError(400, "invalid_policy", str(error), "safety_policy") from None
    looser = [
        *(
            f"types.{name}.enabled"
            for name, rule in policy.types.items()
            if rule["enabled"] and not changed.types[name]["enabled"]
        ),
        *(
            f"types.{name}.threshold"
            for name, rule in policy.types.items()
            if changed.types[name]["threshold"] > rule["threshold"]
        ),
        *(["level_threshold"] if _raises_level_threshold(policy, changed) else []),
        *(
            f"actions.{level}"
            for level, action in policy.actions.items()
            if ACTIONS.index(changed.actions[level]) < ACTIONS.index(action)
        ),
        *(
            name
            for name, choices in (("several_risks", SEVERAL_RISKS), ("unfamiliar", UNFAMILIAR))
            if choices.index(getattr(changed, name)) < choices.index(getattr(policy, name))
        ),
        *(
            name
            for name in ("hints", "refusals", "untrusted_refusal", "temperature")
            if getattr(changed, name) != getattr(policy, name)
        ),
        *(["guarantee"] if "guarantee" in changes else []),
    ]
    if looser:
        raise RequestError(
            400,
            "policy_not_stricter",
            f"A request may only make the operator's policy stricter, and `{looser[0]}` does not. It may switch types "
            "on, lower thresholds and raise actions.",
            f"safety_policy.{looser[0]}",
        )
    return changed


def _raises_level_threshold(policy: SafetyPolicy, changed: SafetyPolicy) -> bool:
    if changed.level_threshold is None:
        return policy.level_threshold is not None
    # A risky level that is the most probable of all has half of the probability behind it, with the other risky ones.
    return changed.level_threshold > (0.5 if policy.level_threshold is None else policy.level_threshold)
