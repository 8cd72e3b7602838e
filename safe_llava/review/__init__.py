"""People rate what systems answered, blind and side by side; how far they agree with each other and with a judge."""

from .agreement import compute_agreement
from .ratings import LoadedRatings, Rating, append_rating, load_ratings
from .review_samples import ReviewSample, load_samples


__all__ = [
    "LoadedRatings",
    "Rating",
    "ReviewSample",
    "append_rating",
    "compute_agreement",
    "load_ratings",
    "load_samples",
]
