"""What a calibration promised of a policy, and for which thresholds and weights it stands. Plain data, no tensors."""

import hashlib
import json
from typing import Any


GUARANTEE_FIELDS = ("promises", "confidence", "rows", "weights", "decisions")


def digest_decisions(policy: dict[str, Any]) -> str:
    """
    16 hexadecimal digits of all that decides which rows a policy flags: thresholds of the types that are on and of the
    level, levels that it acts on, temperatures, and whether it refuses what is unfamiliar. Texts, and whether it hints
    or refuses, are not among it.

    Args:
        policy (`dict`): the fields of a [`SafetyPolicy`].
    """
    thresholds = {name: float(rule["threshold"]) for name, rule in policy["types"].items() if rule["enabled"]}
    levels = sorted(level for level, action in policy["actions"].items() if action != "answer")
    temperature = {name: float(value) for name, value in policy["temperature"].items()}
    decisions: list[Any] = [thresholds, levels, temperature]
    if policy.get("unfamiliar", "refuse") != "refuse":
        decisions.append(policy["unfamiliar"])
    if policy.get("level_threshold") is not None:
        decisions.append({"level": float(policy["level_threshold"])})
    decides = json.dumps(decisions, sort_keys=True)
    return hashlib.sha256(decides.encode()).hexdigest()[:16]


def check_guarantee(policy: dict[str, Any]) -> None:
    """
    Makes sure that the guarantee of a policy, if it has one, was given for this policy.

    Args:
        policy (`dict`): the fields of a [`SafetyPolicy`].

    Raises:
        ValueError: if it is no guarantee, or the policy was changed since.
    """
    guarantee = policy.get("guarantee")
    if guarantee is None:
        return
    if not isinstance(guarantee, dict) or set(guarantee) != set(GUARANTEE_FIELDS):
        raise ValueError(
            f"Safety policy: `guarantee` must be what `safe-llava calibrate --guarantee` wrote, a dictionary with "
            f"exactly the keys {list(GUARANTEE_FIELDS)}, got {guarantee!r:.200}."
        )
    if guarantee["decisions"] != digest_decisions(policy):
        raise ValueError(
            "Safety policy: `guarantee` was given for other thresholds, actions or temperatures, and does not hold "
            "for these. Take the field out, or calibrate again."
        )


def name_weights(config: Any) -> list[str]:
    """
    By what promises and logs know again what gives a model's verdicts: the digests of its weights and, where it knows
    familiar images, behind each one of these statistics, which flag rows as thresholds do.

    Args:
        config ([`SafetyConfigMixin`]): the model's configuration.
    """
    digests = list((config.safety_training or {}).get("digests", []))
    if config.safety_familiarity is None:
        return digests
    known = json.dumps(config.safety_familiarity, sort_keys=True).encode()
    return [f"{digest}+{hashlib.sha256(known).hexdigest()[:16]}" for digest in digests]


def guarantee_in_force(config: Any) -> dict[str, Any] | None:
    """
    The guarantee of a model's stored policy; `None` where there is none, or where it was given for other weights, or
    with other images unfamiliar.

    Args:
        config ([`SafetyConfigMixin`]): the model's configuration.
    """
    guarantee = (config.safety_policy or {}).get("guarantee")
    if guarantee is None or guarantee["weights"] not in name_weights(config):
        return None
    return dict(guarantee)


def require_own_guarantee(guarantee: dict[str, Any] | None, config: Any) -> None:
    """
    Makes sure that the guarantee of a policy to be stored with a model was given for this model.

    Args:
        guarantee (`dict` or `None`): the policy's.
        config ([`SafetyConfigMixin`]): the model's configuration.

    Raises:
        ValueError: if it was given for other weights, or with other images unfamiliar.
    """
    if guarantee is not None and guarantee["weights"] not in name_weights(config):
        raise ValueError(
            "The policy's `guarantee` was given for another model, or before this one was trained on or learned "
            "which images are familiar. Take the field out of its file, or attach "
            '`policy.updated({"guarantee": None})`.'
        )


def drop_stale_guarantee(config: Any) -> None:
    """Takes the guarantee out of a model's stored policy where it was given for other weights."""
    if config.safety_policy is not None and guarantee_in_force(config) is None:
        config.safety_policy = {name: value for name, value in config.safety_policy.items() if name != "guarantee"}
