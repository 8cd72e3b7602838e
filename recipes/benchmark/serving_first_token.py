"""
Time to the first token of a chat about an image: through a running `safe-llava serve`, and through the bare engine, a
`transformers serve` of the same checkpoint or of its base, in turns.

    python -m recipes.benchmark.serving_first_token --model model --bare-model quickstart/converted --output first.json
"""

import argparse
import json
import random
import statistics
import time
from pathlib import Path

import httpx2
import numpy as np

from recipes.benchmark.serving_traffic import draw_url
from safe_llava.files import describe_machine, describe_versions, write_json


def time_first_token(http: httpx2.Client, model: str, url: str) -> float | None:
    """
    Seconds until the first words of an answer arrive.

    Args:
        http ([`httpx2.Client`]): a connection to the server.
        model (`str`): the model's name there.
        url (`str`): the image's data URL.

    Returns:
        `float`, *optional*: `None` where the policy refuses, which takes no token.
    """
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is in the picture?"}]
    body = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 8, "stream": True}
    begun = time.perf_counter()
    with http.stream("POST", "/v1/chat/completions", json=body) as reply:
        reply.raise_for_status()
        for line in reply.iter_lines():
            choices = json.loads(line.removeprefix("data: ")).get("choices") if line.startswith("data: {") else None
            if choices and choices[0]["delta"].get("content"):
                return None if choices[0]["delta"].get("refusal") else time.perf_counter() - begun
    raise RuntimeError(f"{http.base_url} ended its answer without a word.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--bare-url", default="http://127.0.0.1:8001")
    parser.add_argument("--model", required=True, help="its name at the server")
    parser.add_argument("--bare-model", required=True, help="its name at the bare engine")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    drawn, taken = random.Random(0), list[tuple[float, float]]()
    with (
        httpx2.Client(base_url=options.url, timeout=600) as ours,
        httpx2.Client(base_url=options.bare_url, timeout=600) as bare,
    ):
        for _ in range(10 * options.rounds):
            url = draw_url(drawn)
            here, there = time_first_token(ours, options.model, url), time_first_token(bare, options.bare_model, url)
            if here is not None and there is not None:
                taken.append((here, there))
            if len(taken) > options.rounds:
                break
        else:
            parser.error(
                f"only {len(taken)} of {10 * options.rounds} chats were answered, not refused"
            )
    rounds = np.array(taken[1:])  # What is loaded with the first request does not count.
    added = rounds[:, 0] - rounds[:, 1]
    figures = {
        "median": dict(zip(("safe-llava serve", "bare"), np.median(rounds, axis=0).tolist())),
        "added": {"median": statistics.median(added.tolist()), "p95": float(np.quantile(added, 0.95))},
        "rounds": options.rounds,
    }
    facts = {"machine": describe_machine("cpu"), "versions": describe_versions("torch", "transformers")}
    write_json(options.output, {**facts, **figures})
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
