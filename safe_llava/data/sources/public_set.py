"""What is stated about a public set, and what a row of its files becomes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..turn_reading import IMAGE_PLACEHOLDER, parse_conversation


@dataclass(frozen=True)
class SetRequest:
    """
    Which rows of a set are wanted.

    Args:
        root (`Path`): the published files on the disk: a folder, or the table itself.
        split (`str`): one of the set's splits.
        image_folder (`Path`, *optional*): folder of the images, for sets that publish them apart.
    """

    root: Path
    split: str
    image_folder: Path | None = None


@dataclass
class SetRow:
    """
    A row as the published files state it. Its labels are `labels`, or else follow from `is_safe`, `category` and
    `level` by the set's label map.

    Args:
        place (`str`): file and row, for messages.
        messages (`list[dict]`): the conversation; without an answer it ends with the question.
        images (`list[Path or bytes]`): its images; those of tables stand there.
        is_safe (`bool`): whether the set calls the row harmless.
        category (`str`, *optional*): the published category; `None` where nothing is known but that there is a risk.
        level (`str`, *optional*): the published level; `None` where nothing is known but that there is a risk.
        labels (`dict`, *optional*): `safety_level` and `safety_type`, of a set that has them.
        image_row (`int`, *optional*): which row of the tables of images is its own. Defaults to its own number.
        problems (`list[str]`): why it cannot be read.
        label_problems (`list[str]`): why `labels` cannot be told.
        left_out (`str`, *optional*): the written rule by which it is not trained on, though it can be read.
    """

    place: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    images: list[Path | bytes] = field(default_factory=list)
    is_safe: bool = False
    category: str | None = None
    level: str | None = None
    labels: dict[str, Any] | None = None
    image_row: int | None = None
    problems: list[str] = field(default_factory=list)
    label_problems: list[str] = field(default_factory=list)
    left_out: str | None = None


@dataclass(frozen=True)
class PublicSet:
    """
    A public set: where it is from, what its files hold, and what it cannot tell.

    Args:
        name (`str`): what users type.
        title (`str`): what its authors call it.
        paper (`str`): where it is described.
        home (`str`): where it is published.
        hub_id (`str`, *optional*): its dataset on the Hub.
        licence (`str`): its terms, as far as they are stated.
        layout (`str`): the published files.
        columns (`Mapping[str, str]`): the columns that are read, and what they hold.
        cannot_tell (`str`): what its labels leave open, in one sentence.
        splits (`tuple[str, ...]`): its splits.
        read (`Callable`): the rows of a [`SetRequest`], in the order of the files.
        categories (`Mapping`): for each published category our types, "risky" for any of them, or "safe"; `"*"` stands
            for those that are not named.
        levels (`Mapping`): for each published level ours.
        hub_files (`tuple[str, ...]`): the files of a split on the Hub, as patterns with `{split}`.
        image_tables (`Callable`, *optional*): the parquet files whose column `image` holds the images.
        image_column (`str`): that column.
        uses_image_folder (`bool`): whether the images are published apart, so that `image_folder` has an effect.
    """

    name: str
    title: str
    paper: str
    home: str
    hub_id: str | None
    licence: str
    layout: str
    columns: Mapping[str, str]
    cannot_tell: str
    splits: tuple[str, ...]
    read: Callable[[SetRequest], Iterator[SetRow]]
    categories: Mapping[str, str | list[str]] = field(default_factory=dict)
    levels: Mapping[str, str | list[str]] = field(default_factory=dict)
    hub_files: tuple[str, ...] = ("*",)
    image_tables: Callable[[SetRequest], list[Path]] | None = None
    image_column: str = "image"
    uses_image_folder: bool = False


def conversation_of(question: str, answer: str | None, num_images: int = 1) -> list[dict[str, Any]]:
    """
    A question and its answer as messages, the images before the question where it does not mark their place.

    Args:
        question (`str`): the question.
        answer (`str`, *optional*): the answer; without one only the safety head learns from the row.
        num_images (`int`, *optional*, defaults to 1): how many images the row has.
    """
    marked = question if IMAGE_PLACEHOLDER in question else IMAGE_PLACEHOLDER * num_images + question
    turns = [("user", marked), ("assistant", answer)]
    return parse_conversation([{"role": role, "content": text} for role, text in turns if text is not None])
