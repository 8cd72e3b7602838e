"""The requests of `text_requests.yaml`: risky ones with a refusal, and harmless ones."""

import itertools
from functools import cache
from pathlib import Path
from typing import Any

import yaml


REQUESTS_FILE = Path(__file__).parent / "text_requests.yaml"


@cache
def _read() -> dict[str, Any]:
    return yaml.safe_load(REQUESTS_FILE.read_text())


def training_pairs() -> list[dict[str, str]]:
    """Risky requests with harmless twins, of all topics but the held-out ones: `risky`, `harmless` and `refusal`."""
    refusals = itertools.cycle(_read()["refusals"])
    topics = [topic for topic in _read()["topics"].values() if not topic.get("held_out")]
    return [{**pair, "refusal": next(refusals).format(topic["reason"])} for topic in topics for pair in _pairs(topic)]


def held_out_pairs() -> list[dict[str, str]]:
    """Pairs of the topics that nothing is trained on: `risky` and `harmless`."""
    return [pair for topic in _read()["topics"].values() if topic.get("held_out") for pair in _pairs(topic)]


def single_requests() -> tuple[list[tuple[str, str]], list[str]]:
    """Requests without a twin: risky ones, each with a refusal, and harmless ones."""
    single, refusals = _read()["single"], itertools.cycle(_read()["refusals"])
    risky, harmless = (
        [frame.format(task) for task in single[kind] for frame in single["frames"]] for kind in ("risky", "harmless")
    )
    return [(request, next(refusals).format(single["reason"])) for request in risky], harmless


def _pairs(topic: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"risky": risky.format(thing), "harmless": harmless.format(thing)}
        for thing in topic["things"]
        for risky, harmless in zip(topic["risky"], topic["harmless"])
    ]
