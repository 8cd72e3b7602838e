"""The sets of a recipe that trains on several, as its YAML file lists them."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from datasets import Dataset

from .dataset_loading import load_safety_dataset
from .dataset_report import DatasetReport
from .image_digests import ImageDigests
from .source_forms import has_configurations, has_splits, may_name_images
from .sources import is_public_set


MINIATURE = "miniature"
"""The name of synthetic scenes, which are drawn."""


@dataclass(frozen=True)
class DatasetEntry:
    """
    One of several sets to train on.

    Args:
        name (`str`): what [`~safe_llava.data.load_safety_dataset`] takes as `source`, or `MINIATURE`.
        root (`str`, *optional*): where a set lies that is known by its name.
        image_folder (`str`, *optional*): as for [`~safe_llava.data.load_safety_dataset`], like the next four.
        split (`str`, *optional*): by default "train".
        config_name (`str`, *optional*): a configuration.
        unlabelled (`str`, *optional*): what rows without labels are.
        label_map (`str`, *optional*): a YAML file with the meaning of the set's own categories.
        share (`float`, *optional*): the set's fraction of all rows; given for every set or for none.
        max_samples (`int`, *optional*): only the first so many rows are taken, or so many scenes drawn.

    Raises:
        ValueError: if a key has a value that it cannot have, or no effect on this set.
    """

    name: str
    root: str | None = None
    image_folder: str | None = None
    split: str | None = None
    config_name: str | None = None
    unlabelled: Literal["clean", "ignore"] | None = None
    label_map: str | None = None
    share: float | None = None
    max_samples: int | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            kinds = {"share": (int, float), "max_samples": (int,)}.get(field.name, (str,))
            if (value is None and field.name != "name") or (isinstance(value, kinds) and not isinstance(value, bool)):
                continue
            expected = {"share": "a number", "max_samples": "a whole number"}.get(field.name, "a text")
            raise ValueError(f"`{field.name}` of {self.name!r} must be {expected}, not {value!r}.")
        if self.share is not None and not 0 < self.share <= 1:
            raise ValueError(f"`share` of {self.name} must be above 0 and at most 1, not {self.share}.")
        if self.max_samples is not None and self.max_samples < 1:
            raise ValueError(f"`max_samples` of {self.name} must be 1 or more, not {self.max_samples}.")
        for key, reason in self._without_effect().items():
            if getattr(self, key) is not None:
                raise ValueError(f"`{key}` of {self.name} has no effect, for {reason}. Remove it.")
        if self.name == MINIATURE and self.max_samples is None:
            raise ValueError(f"'{MINIATURE}' draws as many scenes as its `max_samples` says; give it.")

    def _without_effect(self) -> dict[str, str]:
        if self.name == MINIATURE:
            return dict.fromkeys(("root", "image_folder", "unlabelled", "label_map"), "scenes are drawn")
        reasons = {}
        if is_public_set(self.name):
            reasons["unlabelled"] = "it is a public set"
        else:
            reasons |= dict.fromkeys(("root", "label_map"), "it is no public set")
        if not has_splits(self.name):
            reasons["split"] = "it has no splits"
        if not has_configurations(self.name):
            reasons["config_name"] = "it has no configurations"
        if not may_name_images(self.name):
            reasons["image_folder"] = "it holds its images"
        return reasons

    @property
    def options(self) -> dict[str, Any]:
        """What was given of the arguments of [`~safe_llava.data.load_safety_dataset`]."""
        given = dataclasses.asdict(self).items()
        return {key: value for key, value in given if value is not None and key not in _NOT_OPTIONS}


KEYS = tuple(field.name for field in dataclasses.fields(DatasetEntry))
_NOT_OPTIONS = ("name", "share", "max_samples")


def parse_entries(values: Any) -> list[DatasetEntry]:
    """
    Reads the list of sets.

    Args:
        values (`list[dict]`): what stands in the YAML file under `datasets`.

    Returns:
        `list[DatasetEntry]`

    Raises:
        ValueError: if it is no such list, an entry has a key that is unknown or no name, a set stands there twice, or
            the shares are not given for all or none, or do not sum to 1.
    """
    if not isinstance(values, list) or not values or not all(isinstance(value, Mapping) for value in values):
        raise ValueError(f"`datasets` must be a list of sets, each with at least a `name`, not {values!r:.80}.")
    entries = []
    for number, value in enumerate(values, start=1):
        if unknown := [key for key in value if key not in KEYS]:
            raise ValueError(
                f"`datasets`: set {number} has the unknown key {unknown[0]!r}; there are {', '.join(KEYS)}."
            )
        if "name" not in value:
            raise ValueError(f"`datasets`: set {number} has no `name`.")
        entries.append(DatasetEntry(**value))
    if twice := [entry.name for place, entry in enumerate(entries) if entry in entries[:place]]:
        raise ValueError(f"`datasets`: {twice[0]} stands there twice; a set has more weight by its `share`.")
    shares = [entry.share for entry in entries if entry.share is not None]
    if shares and len(shares) < len(entries):
        without = ", ".join(entry.name for entry in entries if entry.share is None)
        raise ValueError(f"`datasets`: give `share` for every set or for none; {without} has none.")
    if shares and abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"`datasets`: the shares must sum to 1, not {sum(shares):g}.")
    return entries


def entry_names(entries: Iterable[DatasetEntry]) -> list[str]:
    """A name for each entry by which it can be told from the others; their order decides where names are equal."""
    seen: dict[str, int] = {}
    names = []
    for entry in entries:
        seen[entry.name] = seen.get(entry.name, 0) + 1
        names.append(entry.name if seen[entry.name] == 1 else f"{entry.name} ({seen[entry.name]})")
    return names


def load_entry(
    entry: DatasetEntry,
    on_error: Literal["raise", "skip"] = "raise",
    check_images: bool = True,
    digests: ImageDigests | None = None,
) -> tuple[Dataset, DatasetReport]:
    """
    Loads a set, all its rows.

    Args:
        entry ([`DatasetEntry`]): the set.
        on_error (`str`, *optional*, defaults to `"raise"`): as for [`~safe_llava.data.load_safety_dataset`].
        check_images (`bool`, *optional*, defaults to `True`): likewise.
        digests ([`ImageDigests`], *optional*): gets those of all images that are checked.

    Returns:
        `tuple[Dataset, DatasetReport]`

    Raises:
        Whatever [`~safe_llava.data.load_safety_dataset`] raises.
    """
    return load_safety_dataset(
        entry.name, on_error=on_error, check_images=check_images, digests=digests, **entry.options
    )
