"""The safety policy: which verdicts change the answer, and how. Plain data, no tensors.

Paper: the joint condition of level and type and the safety hints, arXiv 2405.13581, section 3.3.
"""

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from .policy_checks import check_temperature, check_threshold, require, require_keys, require_text
from .safety_guarantee import check_guarantee, digest_decisions
from .safety_labels import RISK_LEVELS, RISK_TYPES, SAFETY_LEVELS
from .safety_texts import DEFAULT_HINTS, DEFAULT_REFUSALS, UNTRUSTED_REFUSAL


ACTIONS = ("answer", "hint", "refuse")
SEVERAL_RISKS = ("strongest", "all")
UNFAMILIAR = ("assess", "refuse")
CLASSIFIERS = ("level", "type")


@dataclass(frozen=True)
class SafetyDecision:
    """
    What the policy does with one row.

    Args:
        action (`"answer"`, `"hint"` or `"refuse"`): answer as the base would, answer after a hint, or refuse outright.
        level (`str`): the risk level that chose the action; `"none"` where there was no risk.
        types (`tuple[str, ...]`): the risk types it acts on, strongest first; empty when the action is to answer.
        texts (`tuple[str, ...]`): the hints or refusals, one for each type.
    """

    action: Literal["answer", "hint", "refuse"]
    level: str = "none"
    types: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    def strictness(self) -> tuple[int, int]:
        """What makes one decision stricter than another: the action, then the level."""
        return ACTIONS.index(self.action), SAFETY_LEVELS.index(self.level)


@dataclass
class SafetyPolicy:
    """
    Which verdicts change the answer, and how. A row is risky when its level is not "none" *and* its types are (the
    paper's joint condition); the level then chooses the action. One type is enough when its probability reaches its
    threshold. Several weaker ones add up: they are risky together when the sum of probability / threshold over all
    types that are switched on reaches 1, so that a risk split between two types is not missed.

    Args:
        types (`dict[str, dict]`):
            For each of the six risk types `{"enabled": bool, "threshold": float}`, the threshold in (0, 1]. Default:
            all on, 0.5.
        actions (`dict[str, str]`):
            For each of the levels low, medium and high: `"answer"`, `"hint"` or `"refuse"`. A refusal costs no
            language-model step.
        level_threshold (`float`, *optional*):
            The probability of any level but "none" from which on a row's level is not "none", in (0, 1]; it is then
            the most probable of the others. Default: the most probable of all four, as in the paper.
        several_risks (`"strongest"` or `"all"`, *optional*, defaults to `"strongest"`):
            When several types reach their thresholds: act on the one that is furthest over it (by the quotient), or
            join the texts of all.
        hints (`dict[str, dict[str, str]]`):
            `hints[type][level]`, the sentence that goes between the question and the assistant's turn.
        refusals (`dict[str, str]`):
            `refusals[type]`, the whole answer when the action is to refuse.
        untrusted_refusal (`str`):
            The answer where the verdict cannot be trusted (see [`SafetyVerdict`]), unless every type is off.
        unfamiliar (`"refuse"` or `"assess"`, *optional*, defaults to `"refuse"`):
            Where the one reason not to trust a verdict is that the image is unlike those that the model was calibrated
            on: refuse it as every other untrusted one, or go by its level and types all the same.
        temperature (`dict[str, float]`):
            `{"level": float, "type": float}`, from 0.01 to 100: the head's logits are divided by it before they
            become probabilities (temperature scaling, Guo et al. 2017, arXiv 1706.04599), so thresholds act on
            calibrated probabilities. It never changes which level or type is the most probable. Default: 1, the
            head's own.
        guarantee (`dict`, *optional*):
            What `safe-llava calibrate --guarantee` promised, for these very thresholds: a copy with others has none.

    Texts (hints and refusals) show something, and hold no control characters but tabs and line breaks.

    Raises:
        ValueError: if a field has a wrong value, with the path of the field, or if a type, level or field is unknown.

    Example:

    ```python
    >>> policy = SafetyPolicy.from_dict(
    ...     {"types": {"politics": {"enabled": False}, "privacy": {"threshold": 0.8}}, "actions": {"high": "refuse"}}
    ... )
    >>> model.generate(**inputs, safety_policy=policy)
    ```"""

    types: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {name: {"enabled": True, "threshold": 0.5} for name in RISK_TYPES}
    )
    actions: dict[str, str] = field(default_factory=lambda: dict.fromkeys(RISK_LEVELS, "hint"))
    level_threshold: float | None = None
    several_risks: str = "strongest"
    hints: dict[str, dict[str, str]] = field(default_factory=lambda: copy.deepcopy(DEFAULT_HINTS))
    refusals: dict[str, str] = field(default_factory=lambda: dict(DEFAULT_REFUSALS))
    untrusted_refusal: str = UNTRUSTED_REFUSAL
    unfamiliar: str = "refuse"
    temperature: dict[str, float] = field(default_factory=lambda: dict.fromkeys(CLASSIFIERS, 1.0))
    guarantee: dict[str, Any] | None = None

    def __post_init__(self):
        require_keys("types", self.types, RISK_TYPES)
        for name, rule in self.types.items():
            require_keys(f"types.{name}", rule, ("enabled", "threshold"))
            require(f"types.{name}.enabled", rule["enabled"], isinstance(rule["enabled"], bool), "true or false")
            check_threshold(f"types.{name}.threshold", rule["threshold"])
        if self.level_threshold is not None:
            check_threshold("level_threshold", self.level_threshold)
        require_keys("actions", self.actions, RISK_LEVELS)
        for level, action in self.actions.items():
            require(f"actions.{level}", action, action in ACTIONS, f"one of {ACTIONS}")
        for name, choices in (("several_risks", SEVERAL_RISKS), ("unfamiliar", UNFAMILIAR)):
            require(name, getattr(self, name), getattr(self, name) in choices, f"one of {choices}")
        require_keys("hints", self.hints, RISK_TYPES)
        for name, by_level in self.hints.items():
            require_keys(f"hints.{name}", by_level, RISK_LEVELS)
        require_keys("refusals", self.refusals, RISK_TYPES)
        for path, _, text in self.named_texts():
            require_text(path, text)
        require_keys("temperature", self.temperature, CLASSIFIERS)
        for name, temperature in self.temperature.items():
            check_temperature(f"temperature.{name}", temperature)
        check_guarantee(asdict(self))

    def find_level(self, level_probs: Sequence[float]) -> int:
        """The level that the policy goes by, 0 (none) to 3 (high), of the four levels' probabilities."""
        likeliest = max(range(len(SAFETY_LEVELS)), key=level_probs.__getitem__)
        if self.level_threshold is None:
            return likeliest
        risks = level_probs[1:]
        return 1 + risks.index(max(risks)) if sum(risks) >= self.level_threshold else 0

    def decide(
        self,
        level_probs: Sequence[float],
        type_probs: Sequence[float],
        trusted: bool = True,
        unfamiliar: bool = False,
    ) -> SafetyDecision:
        """
        What to do with one row.

        Args:
            level_probs (`Sequence[float]`):
                Probabilities of the risk levels, from "none" to "high", at this policy's temperature.
            type_probs (`Sequence[float]`): those of the risk types likewise, in the order of [`SAFETY_TYPES`].
            trusted (`bool`, *optional*, defaults to `True`): False fails closed, whatever level and types say.
            unfamiliar (`bool`, *optional*, defaults to `False`):
                Whether the image is unlike those of the calibration, which fails closed unless the policy assesses.
        """
        enabled = [name for name in RISK_TYPES if self.types[name]["enabled"]]
        if not enabled:
            return SafetyDecision("answer")
        if not trusted or (unfamiliar and self.unfamiliar == "refuse"):
            return SafetyDecision("refuse", "high", tuple(enabled), (self.untrusted_refusal,))

        probs = dict(zip(RISK_TYPES, type_probs))
        quotients = {name: probs[name] / self.types[name]["threshold"] for name in enabled}
        level_name = SAFETY_LEVELS[self.find_level(level_probs)]
        if level_name == "none" or sum(quotients.values()) < 1 or self.actions[level_name] == "answer":
            return SafetyDecision("answer")
        strongest_first = sorted(enabled, key=lambda name: -quotients[name])
        over_threshold = [name for name in strongest_first if quotients[name] >= 1]
        acted_on = over_threshold if self.several_risks == "all" and over_threshold else strongest_first[:1]
        if self.actions[level_name] == "hint":
            texts = tuple(self.hints[name][level_name] for name in acted_on)
            return SafetyDecision("hint", level_name, tuple(acted_on), texts)
        return SafetyDecision("refuse", level_name, tuple(acted_on), tuple(self.refusals[name] for name in acted_on))

    def named_texts(self) -> Iterator[tuple[str, str, str]]:
        """Every text of the policy as (path of the field, action that uses it, text)."""
        for name, by_level in self.hints.items():
            yield from ((f"hints.{name}.{level}", "hint", text) for level, text in by_level.items())
        yield from ((f"refusals.{name}", "refuse", text) for name, text in self.refusals.items())
        yield "untrusted_refusal", "refuse", self.untrusted_refusal

    def texts(self) -> dict[str, list[str]]:
        """Every text of the policy, by the action that uses it."""
        texts: dict[str, list[str]] = {"hint": [], "refuse": []}
        for _, action, text in self.named_texts():
            texts[action].append(text)
        return texts

    def updated(self, changes: dict[str, Any]) -> "SafetyPolicy":
        """A copy with the nested `changes` applied; what they do not name stays as it is."""
        changed = SafetyPolicy(**_merge(self.to_dict() | {"guarantee": None}, changes, path=""))
        if "guarantee" not in changes and _holds(self.guarantee, changed):
            changed.guarantee = copy.deepcopy(self.guarantee)
        return changed

    def to_dict(self) -> dict[str, Any]:
        """The policy as nested dictionaries that JSON can hold; without a guarantee that no longer holds."""
        values = asdict(self)
        if not _holds(self.guarantee, self):
            del values["guarantee"]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "SafetyPolicy":
        """The default policy with `values` applied, which may name a part of the fields only."""
        return cls().updated(values)

    def to_json_string(self) -> str:
        """The policy as indented JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def save_json(self, path: str | Path) -> None:
        """Writes the policy to a JSON file."""
        Path(path).write_text(self.to_json_string() + "\n", encoding="utf-8")

    @classmethod
    def from_json_file(cls, path: str | Path) -> "SafetyPolicy":
        """Reads a policy, whole or in part, from a JSON file; see [`read_policy_changes`]."""
        return cls.from_dict(read_policy_changes(path))


def read_policy_changes(path: str | Path) -> dict[str, Any]:
    """
    What a JSON file changes in a policy: the fields that it names, checked.

    Args:
        path (`str` or `Path`): the file.

    Raises:
        ValueError: if the file is no JSON in UTF-8, names a field twice, or holds a wrong value; with the path of the
            field and of the file.
    """
    try:
        values = json.loads(Path(path).read_bytes().decode("utf-8-sig"), object_pairs_hook=_Fields)
        changes = _require_single_fields(values, path="")
        SafetyPolicy.from_dict(changes)
    except RecursionError as error:
        raise ValueError(f"The safety policy {path} is nested too deeply to be one.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"The safety policy {path} is not text in UTF-8: {error}.") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"The safety policy {path} is not valid JSON: {error}.") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return changes


def _holds(guarantee: dict[str, Any] | None, policy: SafetyPolicy) -> bool:
    return guarantee is not None and guarantee["decisions"] == digest_decisions(asdict(policy))


class _Fields(list):
    """The fields of a JSON object as pairs: a dictionary would keep the last of two that have one name."""


def _require_single_fields(value: Any, path: str) -> Any:
    if not isinstance(value, _Fields):
        return value
    fields: dict[str, Any] = {}
    for key, item in value:
        where = f"{path}.{key}" if path else key
        if key in fields:
            raise ValueError(f"Safety policy: the field `{where}` is there twice. Leave one of the two.")
        fields[key] = _require_single_fields(item, where)
    return fields


def _merge(values: dict[str, Any], changes: dict[str, Any], path: str) -> dict[str, Any]:
    if not isinstance(changes, dict):
        raise ValueError(f"Safety policy: {path or 'it'} must be a dictionary, got {changes!r:.200}.")
    for key, change in changes.items():
        where = f"{path}.{key}" if path else key
        if key not in values:
            raise ValueError(f"Safety policy: unknown field `{where}`; expected one of {sorted(values)}.")
        values[key] = _merge(values[key], change, where) if isinstance(values[key], dict) else change
    return values
