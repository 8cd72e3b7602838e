"""
Many clients at once against a running `safe-llava serve`, some of which misbehave.

    python -m recipes.benchmark.serving_traffic --url http://127.0.0.1:8000 --model NAME --clients 200 --seconds 60
"""

import argparse
import asyncio
import base64
import collections
import io
import json
import random
import re
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import httpx2
import numpy as np
from PIL import Image


BROKEN, TOO_LARGE, HANG_UP = 0.05, 0.02, 0.05
"""Shares of requests with an image that is none, with a body beyond the limit, and of clients that leave."""


@dataclass
class Traffic:
    """What came back: how many of each kind, and after how many seconds whole answers came."""

    replies: collections.Counter = field(default_factory=collections.Counter)
    unexpected: list[str] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: collections.defaultdict(list))

    def to_dict(self) -> dict[str, Any]:
        """Counts, and the median and the 95th percentile of the seconds."""
        times = {
            kind: {"median": statistics.median(values), "95th": float(np.quantile(values, 0.95)), "n": len(values)}
            for kind, values in self.seconds.items()
        }
        return {"replies": dict(sorted(self.replies.items())), "seconds": times, "unexpected": self.unexpected[:5]}


async def run_traffic(url: str, model: str, clients: int, seconds: float, max_body: int, seed: int = 0) -> Traffic:
    """
    Keeps clients asking.

    Args:
        url (`str`): where the server listens.
        model (`str`): the model's name there.
        clients (`int`): how many ask at the same time.
        seconds (`float`): for how long.
        max_body (`int`): the server's limit on bodies, in bytes, which some requests go beyond.
        seed (`int`, *optional*, defaults to 0): draws images and misdeeds.

    Returns:
        [`Traffic`]
    """
    traffic, end = Traffic(), time.monotonic() + seconds
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=url, timeout=120, limits=limits) as http:
        asked = [
            _ask_on(http, model, random.Random(seed * 10_007 + i), traffic, end, max_body) for i in range(clients)
        ]
        await asyncio.gather(*asked)
    return traffic


async def _ask_on(
    http: httpx2.AsyncClient, model: str, drawn: random.Random, traffic: Traffic, end: float, max_body: int
) -> None:
    while time.monotonic() < end:
        started = time.monotonic()
        is_broken, leaves = drawn.random() < BROKEN, drawn.random() < HANG_UP
        part = {"type": "image_url", "image_url": {"url": draw_url(drawn, is_broken)}}
        kind = drawn.choice(("chat", "stream", "moderation"))
        body: dict[str, Any] = {"input": [part], "model": model}
        if kind != "moderation":
            content = [part, {"type": "text", "text": "Who is this?"}]
            body = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 16}
            body["stream"] = kind == "stream"
        if drawn.random() < TOO_LARGE:
            body["user"] = "x" * max_body
        route = "/v1/moderations" if kind == "moderation" else "/v1/chat/completions"
        try:
            timeout = drawn.uniform(0.01, 0.2) if leaves else 120
            reply = await http.post(route, json=body, timeout=timeout)
        except httpx2.TimeoutException:
            traffic.replies["left" if leaves else "no answer"] += 1
            continue
        except httpx2.HTTPError as error:
            traffic.replies["broken off"] += 1
            traffic.unexpected.append(type(error).__name__)
            continue
        traffic.replies[str(reply.status_code)] += 1
        if reply.status_code == 200:
            traffic.seconds[kind].append(time.monotonic() - started)
        if not _is_expected(reply, kind, is_broken):
            traffic.unexpected.append(f"{kind} {reply.status_code} {reply.text:.200}")
        if reply.status_code == 429:
            await asyncio.sleep(drawn.random())


def _is_expected(reply: httpx2.Response, kind: str, is_broken: bool) -> bool:
    """Whether it is a whole answer with its verdict, a clear error, or the advice to come back."""
    if reply.status_code == 200 and not is_broken:
        if kind == "stream":
            return '"moderation_results"' in reply.text and reply.text.endswith("data: [DONE]\n\n")
        return '"level"' in reply.text
    return reply.status_code in (400, 413, 429) and bool(reply.json()["error"]["message"])


def draw_url(drawn: random.Random, is_broken: bool = False) -> str:
    """The data URL of an image of noise, or something that is none."""
    if is_broken:
        return drawn.choice(("data:image/png;base64,AAAA", "/etc/passwd", "http://127.0.0.1:22/", "data:,"))
    file = io.BytesIO()
    pixels = np.random.default_rng(drawn.randrange(2**32)).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def count_generations(metrics: str) -> int:
    """The counter of generations in the text of `/metrics`."""
    found = re.search(r"^safe_llava_generations_total (\S+)$", metrics, re.MULTILINE)
    return int(float(found.group(1))) if found else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", required=True, help="its name on the server")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--max-body-megabytes", type=int, default=20)
    options = parser.parse_args()
    before = count_generations(httpx2.get(f"{options.url}/metrics").text)
    asked = run_traffic(
        options.url, options.model, options.clients, options.seconds, options.max_body_megabytes * 2**20
    )
    traffic = asyncio.run(asked)
    after = count_generations(httpx2.get(f"{options.url}/metrics").text)
    print(json.dumps({**traffic.to_dict(), "generations": after - before}, indent=2))
    if traffic.unexpected:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
