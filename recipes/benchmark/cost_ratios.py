"""From measured seconds to ratios, one for each round: to stock beside it, and of two such ratios."""

import statistics
from typing import Any


BOUNDS = {
    "first token: answering / stock": {"mid": 1.3, "mid-next": 1.15, "llava-1.5-7b": 1.15},
    "tokens per second: answering / stock": {"mid": 0.97, "llava-1.5-7b": 0.97},
    "first token: hinting / two passes": {"mid": 0.5, "llava-1.5-7b": 0.5},
    "answer: refusing / answering": {"mid": 0.15, "llava-1.5-7b": 0.15},
}
"""What is promised at a shape: at most this, or for tokens per second at least."""

_FIGURES = {
    "first token": "first_token_seconds",
    "tokens per second": "tokens_per_second",
    "answer": "answer_seconds",
}
_WAYS = {"two passes": "two_pass", "two passes, second not padded": "two_pass_short", "guard": "guard_then_answer"}
_COMPARED = (
    "first token: answering / stock",
    "first token: hinting / stock",
    "tokens per second: answering / stock",
    "tokens per second: hinting / stock",
    "first token: answering / two passes",
    "first token: hinting / two passes",
    "first token: hinting / two passes, second not padded",
    "answer: hinting / two passes",
    "answer: stock / two passes",
    "answer: answering / guard",
    "answer: refusing / answering",
)

Measured = dict[str, dict[str, dict[str, list[Any]]]]
"""`measured[way]["way"][figure]` has a value for each round, `measured[way]["stock"][figure]` stock's beside it."""


def compare(measured: Measured) -> dict[str, dict[str, float]]:
    """The ratios that are asked for most, by their names in [`BOUNDS`]: `median`, `low` and `high` of the rounds."""
    ratios = {}
    for name in _COMPARED:
        figure, sides = name.split(": ")
        way, other = (to_stock(measured, _FIGURES[figure], _WAYS.get(side, side)) for side in sides.split(" / "))
        ratios[name] = summarize([ours / theirs for ours, theirs in zip(way, other)])
    return ratios


def over_stock(measured: Measured) -> dict[str, dict[str, dict[str, float]]]:
    """Each figure of each way as a ratio to stock's; none where a way has no such figure."""
    return {
        way: {
            figure: summarize(to_stock(measured, figure, way))
            for figure, values in sides["way"].items()
            if None not in values
        }
        for way, sides in measured.items()
    }


def to_stock(measured: Measured, figure: str, way: str) -> list[float]:
    """Of each round; stock itself is 1."""
    if way == "stock":
        return [1.0] * len(next(iter(measured.values()))["stock"][figure])
    sides = measured[way]
    return [ours / theirs for ours, theirs in zip(sides["way"][figure], sides["stock"][figure])]


def summarize(ratios: list[float]) -> dict[str, float]:
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
