"""Ratings of the review page as labelled rows: the risk that people saw in image and question together."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from datasets import Dataset

from ..data.dataset_loading import AUTHOR_FEATURES
from ..data.image_cells import as_cell
from ..data.label_parsing import parse_labels
from ..data.sources.public_set import conversation_of


def read_rated(ratings: Path, samples: Path, image_folder: Path | None = None) -> tuple[Dataset, dict[str, int]]:
    """
    Reads rows for [`select_rows`]. "No risk" is a label; a risk type is a risk of that type and of an unknown level.
    Where raters chose several, each is possible: several types are some risk, and a type beside "no risk" may be none.

    Args:
        ratings (`Path`): a file that `safe-llava review rate` wrote, by any number of raters.
        samples (`Path`): the samples that were rated.
        image_folder (`Path`, *optional*): folder that the names of images start from. Defaults to that of the samples.

    Returns:
        `tuple[Dataset, dict[str, int]]`: a row for every sample, without labels where nobody rated it; and as
        `"cut_off"` the ratings that were never written whole.

    Raises:
        ValueError: if one of the files is not as it should be, or a rating is of no sample there, or of other texts.
    """
    # Agreement needs an extra, which whoever rates has.
    from ..review import load_ratings, load_samples

    loaded, by_id = load_ratings(ratings), {sample.id: sample for sample in load_samples(samples, image_folder)}
    chosen: dict[str, list[str]] = defaultdict(list)
    for rating in loaded.ratings:
        sample = by_id.get(rating.id)
        if sample is None or rating.sample_digest not in (None, sample.digest):
            found = "is not there" if sample is None else "has another question or other outputs there"
            raise ValueError(
                f"{ratings} has a rating of sample {rating.id!r}, which {found}: {samples}. Name the samples that "
                "were rated."
            )
        if rating.risk_type is not None:
            chosen[rating.id].append(rating.risk_type)
    rows: list[dict[str, Any]] = [
        {
            "messages": conversation_of(sample.question, None, len(sample.images)),
            "images": [as_cell(path.resolve()) for path in sample.images],
            **parse_labels({"safety_type": chosen.get(sample.id)})[0],
        }
        for sample in by_id.values()
    ]
    return Dataset.from_list(rows, features=AUTHOR_FEATURES), {"cut_off": len(loaded.cut_off_lines)}
