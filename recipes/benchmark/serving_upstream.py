"""
Whether another engine answers as this package does: greedy chats about the miniature's images, with and without hints,
through a `safe-llava serve` whose engine is `--upstream`, and through one of the same checkpoint that answers itself.

    python -m recipes.benchmark.serving_upstream --model model --url http://127.0.0.1:8000 \\
        --upstream-url http://127.0.0.1:8002 --output upstream.json
"""

import argparse
import base64
import io
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2

from safe_llava.files import describe_machine, describe_versions, write_json
from safe_llava.miniature.scene_dataset import build_dataset


def read_chat(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages of a row of the miniature in OpenAI's form, without the answer."""
    first, *others = row["messages"][:-1]
    content: list[dict[str, Any]] = []
    for image in row["images"]:
        file = io.BytesIO()
        image.save(file, format="PNG")
        url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
        content.append({"type": "image_url", "image_url": {"url": url}})
    return [{"role": first["role"], "content": [*content, {"type": "text", "text": first["content"]}]}, *others]


def ask(http: httpx2.Client, model: str, messages: list[dict[str, Any]], max_tokens: int) -> dict[str, Any]:
    """
    One greedy answer.

    Args:
        http ([`httpx2.Client`]): a connection to the server.
        model (`str`): the model's name there.
        messages (`list[dict]`): the chat.
        max_tokens (`int`): longest answer.

    Returns:
        `dict`: `action`, the policy's; `text`, `finish_reason` and `tokens`, how many there are.
    """
    body = {"model": model, "messages": messages, "max_tokens": max_tokens}
    reply = http.post("/v1/chat/completions", json=body)
    if reply.status_code != 200:
        raise RuntimeError(f"{http.base_url} answered with status {reply.status_code}: {reply.text:.500}")
    answer = reply.json()
    [choice] = answer["choices"]
    return {
        "action": answer["moderation"]["input"]["results"][0]["action"],
        "text": choice["message"]["content"],
        "finish_reason": choice["finish_reason"],
        "tokens": answer["usage"]["completion_tokens"],
    }


def compare(
    here: httpx2.Client, there: httpx2.Client, model: str, rows: int, max_tokens: int = 32
) -> tuple[Counter[str], list[dict[str, Any]]]:
    """
    Asks both, until so many chats were answered with a hint, and so many without.

    Args:
        here ([`httpx2.Client`]): a connection to the server that answers itself.
        there ([`httpx2.Client`]): one to the server with another engine behind it.
        model (`str`): the model's name at both.
        rows (`int`): how many of each kind.
        max_tokens (`int`, *optional*, defaults to 32): longest answer.

    Returns:
        `tuple[Counter, list[dict]]`: how many were compared by the policy's action, and those that differ.

    Raises:
        RuntimeError: if the policy does not let so many of both kinds through.
    """
    compared, different = Counter[str](), list[dict[str, Any]]()
    for row in build_dataset("test", 10 * rows):
        if not row["images"]:
            continue
        messages = read_chat(row)
        mine = ask(here, model, messages, max_tokens)
        if mine["action"] not in ("answer", "hint") or compared[mine["action"]] == rows:
            continue
        theirs = ask(there, model, messages, max_tokens)
        compared[mine["action"]] += 1
        if mine != theirs:
            different.append({"messages": row["messages"][:-1], "here": mine, "upstream": theirs})
        if compared["answer"] == compared["hint"] == rows:
            return compared, different
    raise RuntimeError(f"Of {10 * rows} chats {dict(compared)} were let through; {rows} of each were wanted.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server that answers itself")
    parser.add_argument("--upstream-url", default="http://127.0.0.1:8002", help="the server with --upstream")
    parser.add_argument("--model", required=True, help="the model's name at both")
    parser.add_argument("--rows", type=int, default=30, help="chats with a hint, and as many without")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    with (
        httpx2.Client(base_url=options.url, timeout=600) as here,
        httpx2.Client(base_url=options.upstream_url, timeout=600) as there,
    ):
        compared, different = compare(here, there, options.model, options.rows)
    facts = {"machine": describe_machine("cpu"), "versions": describe_versions("torch", "transformers")}
    write_json(options.output, {**facts, "compared": dict(compared), "different": different})
    print(json.dumps({"compared": dict(compared), "different": len(different)}))
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
