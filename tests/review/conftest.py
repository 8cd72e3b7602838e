"""Harmless samples and ratings of them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from safe_llava.review import LoadedRatings, Rating


OUTPUTS = {"llava-alpha": "An apple on a table.", "llava-beta": "I see an apple.\nIt is red."}


@pytest.fixture
def write_lines(tmp_path) -> Callable[..., Path]:
    """Writes objects, or lines as they are, into a file of JSON lines."""

    def write(name: str, *lines: dict | str) -> Path:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (tmp_path / name).write_text("".join(f"{text}\n" for text in texts))
        return tmp_path / name

    return write


@pytest.fixture(scope="session")
def make_sample() -> Callable[..., dict]:
    """A line of a file of samples."""
    return lambda id, **fields: {"id": id, "question": "What is this?", "outputs": OUTPUTS} | fields


@pytest.fixture(scope="session")
def make_ratings() -> Callable[..., LoadedRatings]:
    """`make_ratings(anna=[(7, 3), None])`: scores of the two systems for samples 0, 1, ...; None leaves one out."""

    def make(risk_types: tuple[str, ...] = (), **scores: list[tuple[float, float] | None]) -> LoadedRatings:
        return LoadedRatings(
            [
                Rating(
                    rater,
                    str(sample),
                    scores=dict(zip(OUTPUTS, pair, strict=True)),
                    risk_type=risk_types[sample] if risk_types else None,
                )
                for rater, pairs in scores.items()
                for sample, pair in enumerate(pairs)
                if pair is not None
            ]
        )

    return make
