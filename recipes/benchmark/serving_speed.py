"""
Moderations a second and their latency at several numbers of clients, side by side: a running `safe-llava serve`, one
`pipeline` call a request, and, where one runs, `transformers serve` asked whether the image is safe.

    python -m recipes.benchmark.serving_speed --url http://127.0.0.1:8000 --model quickstart/model --output speed.json
"""

import argparse
import asyncio
import json
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from transformers import pipeline

import safe_llava  # noqa: F401 (registers the classes)
from recipes.benchmark.serving_traffic import draw_url
from safe_llava.files import describe_machine, describe_versions, write_json


Ask = Callable[[str], Awaitable[None]]


async def measure(ask: Ask, clients: int, seconds: float) -> dict[str, float]:
    """
    Keeps clients asking, each about another image every time.

    Args:
        ask (`Callable`): asks once, about the image of a data URL.
        clients (`int`): how many ask at the same time.
        seconds (`float`): for how long.

    Returns:
        `dict[str, float]`: `per_second`, and the `median` and `p95` of the seconds that a request took.
    """
    taken: list[float] = []
    started = time.perf_counter()

    async def keep_asking(number: int) -> None:
        drawn = random.Random(number)
        while time.perf_counter() < started + seconds:
            url, begun = draw_url(drawn), time.perf_counter()
            await ask(url)
            taken.append(time.perf_counter() - begun)

    await asyncio.gather(*map(keep_asking, range(clients)))
    per_second = len(taken) / (time.perf_counter() - started)
    return {"per_second": per_second, "median": statistics.median(taken), "p95": float(np.quantile(taken, 0.95))}


def ask_server(http: httpx2.AsyncClient) -> Ask:
    async def ask(url: str) -> None:
        body = {"input": [{"type": "image_url", "image_url": {"url": url}}]}
        (await http.post("/v1/moderations", json=body)).raise_for_status()

    return ask


def ask_pipeline(model: str) -> Ask:
    guard, turn = pipeline("safety-classification", model=model, device="cpu"), asyncio.Lock()

    async def ask(url: str) -> None:
        async with turn:
            await asyncio.to_thread(guard, url)

    return ask


def ask_language_model(http: httpx2.AsyncClient, model: str) -> Ask:
    async def ask(url: str) -> None:
        content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "Is this image safe?"}]
        body = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 1}
        (await http.post("/v1/chat/completions", json=body)).raise_for_status()

    return ask


async def compare(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Each way at each number of clients, in turns, so that a slow moment of the machine hits all of them."""
    limits = httpx2.Limits(max_connections=None)
    async with (
        httpx2.AsyncClient(base_url=options.url, timeout=600, limits=limits) as ours,
        httpx2.AsyncClient(base_url=options.transformers_url or options.url, timeout=600, limits=limits) as theirs,
    ):
        ways = {"safe-llava serve": ask_server(ours), "pipeline": ask_pipeline(options.model)}
        if options.transformers_url:
            ways["transformers serve"] = ask_language_model(theirs, options.model)
        for ask in ways.values():
            await ask(draw_url(random.Random(0)))  # What is loaded with the first request does not count.
        return [
            {"way": way, "clients": clients, **await measure(ask, clients, options.seconds)}
            for clients in options.clients
            for way, ask in ways.items()
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--transformers-url", help="where `transformers serve` listens, if it does")
    parser.add_argument("--model", required=True, help="the checkpoint that is served")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    rows = asyncio.run(compare(options))
    facts = {"machine": describe_machine("cpu"), "versions": describe_versions("torch", "transformers")}
    write_json(options.output, {**facts, "model": options.model, "rows": rows})
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
