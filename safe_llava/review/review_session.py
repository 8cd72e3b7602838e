"""A rater's way through the samples: what is rated, what is filled in and not yet saved, and where to go on."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from os import PathLike
from pathlib import Path
from typing import Literal

from .ratings import CutOffLine, Rating, append_rating, load_ratings
from .review_samples import ReviewSample


Scale = Literal["rating", "preference"]


@dataclass
class Form:
    """
    What a rater has filled in for one sample; at first nothing.

    Args:
        values (`dict[str, int]`): the score or the place of each system that has one.
        risk_type (`str`, *optional*): the chosen risk type.
        comment (`str`): the comment.
    """

    values: dict[str, int] = field(default_factory=dict)
    risk_type: str | None = None
    comment: str = ""


class ReviewSession:
    """
    One rater's review of samples, kept in a file of ratings that a later session goes on with.

    Args:
        samples (`Sequence[ReviewSample]`): what to rate, in this order.
        rater (`str`): the rater's name.
        path (`str` or `PathLike`): the file of ratings; it may hold other raters' too, and need not be there yet.
        scale (`"rating"` or `"preference"`, *optional*, defaults to `"rating"`): scores from 0 to 10, or places.

    Raises:
        ValueError: if the rater's name is empty, or the file cannot be gone on with: a line is bad, a sample was rated
            with other texts, or this rater rated on the other scale.
        OSError: if the file cannot be read, or its folder does not exist.
    """

    def __init__(
        self, samples: Sequence[ReviewSample], rater: str, path: str | PathLike, scale: Scale = "rating"
    ) -> None:
        if not rater.strip():
            raise ValueError("the rater needs a name, so that ratings of several people can be told apart")
        self.samples = tuple(samples)
        self.rater = rater.strip()
        self.path = Path(path)
        self.scale = scale
        self.cut_off_lines: list[CutOffLine] = []
        self._ratings: dict[str, Rating] = {}
        self._drafts: dict[str, Form] = {}
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"the folder {self.path.parent} of the ratings does not exist")
        if self.path.exists():
            loaded = load_ratings(self.path)
            self.cut_off_lines = loaded.cut_off_lines
            self._take_up(loaded.ratings)

    def _take_up(self, ratings: Sequence[Rating]) -> None:
        samples = {sample.id: sample for sample in self.samples}
        for rating in ratings:
            sample = samples.get(rating.id)
            if sample is not None and rating.sample_digest not in (None, sample.digest):
                raise ValueError(
                    f"{self.path} has a rating of sample {rating.id!r} with another question or other outputs than "
                    "the samples have now. Take the samples it was made with, or another file of ratings."
                )
            if sample is None or rating.rater != self.rater:
                continue
            if (rating.scores is None) == (self.scale == "rating"):
                other = "preference" if self.scale == "rating" else "rating"
                raise ValueError(
                    f"{self.path} has ratings by {self.rater} on the other scale. Go on with --scale {other}, or take "
                    "another file of ratings."
                )
            if set(rating.scores or rating.places or {}) != set(sample.outputs):
                raise ValueError(
                    f"{self.path}: {self.rater}'s rating of {rating.id!r} names other systems than it has"
                )
            self._ratings[sample.id] = rating

    @property
    def num_rated(self) -> int:
        """How many samples have a rating in the file."""
        return len(self._ratings)

    def is_rated(self, sample: ReviewSample) -> bool:
        """Whether the sample has a rating in the file."""
        return sample.id in self._ratings

    def first_unrated(self) -> int | None:
        """The place of the first sample without a rating, from 0; `None` when all are rated."""
        return next((place for place, sample in enumerate(self.samples) if not self.is_rated(sample)), None)

    def form(self, sample: ReviewSample) -> Form:
        """What is filled in for a sample, saved or not; to be changed in place."""
        if sample.id not in self._drafts:
            self._drafts[sample.id] = self._saved_form(sample)
        return self._drafts[sample.id]

    def is_changed(self, sample: ReviewSample) -> bool:
        """Whether something is filled in that is not in the file."""
        return self.form(sample) != self._saved_form(sample)

    def unsaved_corrections(self) -> list[int]:
        """The places of rated samples, from 0, whose form says something else than the file."""
        return [
            place
            for place, sample in enumerate(self.samples)
            if self.is_rated(sample) and sample.id in self._drafts and self.is_changed(sample)
        ]

    def missing(self, sample: ReviewSample) -> list[str]:
        """What has to be filled in before the rating can be saved, in words for the rater; empty if nothing."""
        form = self.form(sample)
        missing = [
            f"answer {place}"
            for place, system in enumerate(sample.order_for(self.rater), start=1)
            if system not in form.values
        ]
        if self.scale == "preference" and missing and len(sample.outputs) == 2:
            missing = ["which answer is better"]
        return missing if form.risk_type is not None else [*missing, "the risk type"]

    def save(self, sample: ReviewSample) -> None:
        """
        Writes the form of a sample to the file, unless that says the same already.

        Args:
            sample ([`ReviewSample`]): the sample.

        Raises:
            ValueError: if something is missing.
            OSError: if it could not be written. The form stays as it is.
        """
        if missing := self.missing(sample):
            raise ValueError(f"not filled in: {', '.join(missing)}")
        if not self.is_changed(sample):
            return
        form = copy.deepcopy(self.form(sample))
        order = sample.order_for(self.rater)
        values = {system: form.values[system] for system in sample.outputs}
        rating = Rating(
            rater=self.rater,
            id=sample.id,
            scores=dict(values) if self.scale == "rating" else None,
            places=dict(values) if self.scale == "preference" else None,
            order=order,
            risk_type=form.risk_type,
            sample_risk_type=sample.risk_type,
            comment=form.comment.strip(),
            sample_digest=sample.digest,
            time=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        append_rating(self.path, rating)
        self._ratings[sample.id] = rating
        del self._drafts[sample.id]

    def _saved_form(self, sample: ReviewSample) -> Form:
        rating = self._ratings.get(sample.id)
        if rating is None:
            return Form()
        values = rating.scores or rating.places or {}
        return Form({system: int(value) for system, value in values.items()}, rating.risk_type, rating.comment)
