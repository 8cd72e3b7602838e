"""How a public set's categories and levels become ours: printed as YAML, and read back as the user edited it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ...models.safety_labels import RISK_TYPES, SAFETY_LEVELS, SAFETY_TYPES
from ..label_parsing import SET_COLUMNS, parse_labels
from .public_set import PublicSet, SetRow


OTHERS = "*"
"""Stands for every category that a map does not name."""
_SECTIONS = {"categories": "safety_type", "levels": "safety_level"}
_SAFE = {"safety_level": "none", "safety_type": "safe"}


class UnmappedError(ValueError):
    """A published category or level that the map does not name."""


@dataclass(frozen=True)
class LabelMap:
    """
    What the published categories and levels of a set become.

    Args:
        source (`str`): the set, or the file that the map was read from, for messages.
        categories (`Mapping`): our types for each category: a name, a list of names, "risky" or "safe".
        levels (`Mapping`): our levels for each published level.
    """

    source: str
    categories: Mapping[str, str | list[str]]
    levels: Mapping[str, str | list[str]]

    def labels_of(self, row: SetRow) -> dict[str, Any]:
        """
        The labels of a row, as [`~safe_llava.data.label_parsing.parse_labels`] takes them.

        Raises:
            UnmappedError: if the map does not name the row's category or level.
        """
        if row.labels is not None:
            return row.labels
        if row.is_safe:
            return _SAFE
        level: Any = "risky" if row.level is None else self._look_up("levels", row.level)
        if level in ("none", ["none"]):
            return _SAFE
        kind = "risky" if row.category is None else self._look_up("categories", row.category)
        return _SAFE if kind in ("safe", ["safe"]) else {"safety_level": level, "safety_type": kind}

    def require_used(self, published: Iterable[str]) -> None:
        """
        Refuses a category that neither the set's own map nor any row has, such as a misspelled one.

        Args:
            published (`Iterable[str]`): the categories of the set's map and of its rows.

        Raises:
            ValueError: naming the first one.
        """
        known = {_key(name) for name in (*published, OTHERS)}
        for name in self.categories:
            if _key(name) not in known:
                raise ValueError(f"{self.source}: categories, {name!r}: no row has this category.")

    def _look_up(self, section: str, name: str) -> str | list[str]:
        entries = getattr(self, section)
        by_key = {_key(published): ours for published, ours in entries.items()}
        found = by_key.get(_key(name), entries.get(OTHERS))
        if found is None:
            kind = "category" if section == "categories" else "level"
            raise UnmappedError(f"the {kind} {name!r} is not mapped to ours; {self.source} maps {', '.join(entries)}")
        return found


def read_label_map(public_set: PublicSet, override: str | Path | Mapping[str, Any] | None = None) -> LabelMap:
    """
    The label map of a set.

    Args:
        public_set ([`PublicSet`]): the set.
        override (`str`, `Path` or `Mapping`, *optional*):
            A YAML file in the form that [`describe`] writes, or what it holds, in place of the set's own map.

    Returns:
        [`LabelMap`]

    Raises:
        ValueError: if the override is of another form, leaves a category of the set unmapped, or names a type or level
            that is none; with the file and the key.
    """
    own = {section: getattr(public_set, section) for section in _SECTIONS if getattr(public_set, section)}
    if override is None:
        return LabelMap(public_set.name, public_set.categories, public_set.levels)
    if not own:
        raise ValueError(f"`label_map` has no effect: {public_set.name} has no categories or levels to map.")
    place = "label_map" if isinstance(override, Mapping) else str(override)
    given = override if isinstance(override, Mapping) else _read_yaml(Path(override))
    if not isinstance(given, Mapping) or given.keys() != own.keys():
        found = ", ".join(map(repr, given)) if isinstance(given, Mapping) else "no keys"
        raise ValueError(f"{place}: a label map of {public_set.name} has {', '.join(map(repr, own))}, not {found}.")
    for section, entries in given.items():
        _check_entries(f"{place}: {section}", section, entries, own[section])
    return LabelMap(place, given.get("categories", {}), given.get("levels", {}))


def describe(public_set: PublicSet) -> str:
    """
    A set in YAML: what is known about it as comments, and its label map, which can be edited and given back.

    Args:
        public_set ([`PublicSet`]): the set.
    """
    facts = {
        "name": public_set.name,
        "paper": public_set.paper,
        "home": public_set.home,
        "Hub id": public_set.hub_id or "none",
        "licence": public_set.licence,
        "splits": ", ".join(public_set.splits),
    }
    lines = [public_set.title, *(f"{name}: {fact}" for name, fact in facts.items()), "files:"]
    lines += [f"  {line}" for line in public_set.layout.strip().splitlines()]
    lines += ["columns:", *(f"  {name}: {meaning}" for name, meaning in public_set.columns.items())]
    lines += [f"cannot tell: {public_set.cannot_tell}"]
    own = {section: dict(getattr(public_set, section)) for section in _SECTIONS if getattr(public_set, section)}
    if not own:
        lines += ["There are no categories or levels to map."]
    comments = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    return comments + (yaml.safe_dump(own, sort_keys=False, width=119) if own else "")


def single_risk_type(ours: str | list[str] | None) -> str | None:
    """The risk type that a category clearly is; `None` where it may be one of several, or none."""
    return ours if isinstance(ours, str) and ours in RISK_TYPES else None


def _check_entries(place: str, section: str, entries: Any, own: Mapping[str, Any]) -> None:
    if not isinstance(entries, Mapping) or not all(isinstance(name, str) for name in entries):
        raise ValueError(f"{place} must name what is published, each as text, and what it becomes.")
    names = {_key(name) for name in entries}
    for name in own:
        if _key(name) not in names and not (section == "categories" and OTHERS in entries):
            raise ValueError(f"{place}: {name!r} is not mapped.")
    label = _SECTIONS[section]
    for name, ours in entries.items():
        # Alone, without what the other label would narrow it to.
        if ours is None or (problems := parse_labels({label: ours}, {column: column for column in SET_COLUMNS})[1]):
            allowed = SAFETY_TYPES if section == "categories" else SAFETY_LEVELS
            reason = "nothing is given" if ours is None else problems[0]
            raise ValueError(f"{place}: {name!r}: {reason}; give some of {', '.join(allowed)}, or risky.")


def _read_yaml(path: Path) -> Any:
    try:
        text = path.read_text("utf-8")
        _refuse_repeated(path, yaml.compose(text, yaml.SafeLoader))
        return yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {error}") from error


def _refuse_repeated(path: Path, node: Any) -> None:
    """Of a key that stands there twice YAML would keep one value in silence."""
    if not isinstance(node, yaml.MappingNode):
        return
    keys = [key.value for key, _ in node.value]
    if repeated := [key for key in keys if keys.count(key) > 1]:
        raise ValueError(f"{path}: {repeated[0]!r} stands there twice.")
    for _, value in node.value:
        _refuse_repeated(path, value)


def _key(name: str) -> str:
    """A category without what its spellings differ in: "Animal Abuse" is `animal_abuse`."""
    return re.sub(r"[\W_]+", " ", name).strip().casefold() or name
