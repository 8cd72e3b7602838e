"""What is compared between two servers, one of which has another engine behind it."""

import json

import httpx2
import pytest

from recipes.benchmark.serving_upstream import compare


def connect(actions: list[str], texts: list[str] | None = None) -> tuple[httpx2.Client, list[dict]]:
    """A connection to a server that meets chat after chat with these actions, and what it is asked."""
    asked: list[dict] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        number = len(asked)
        asked.append(json.loads(request.content))
        choice = {"message": {"content": (texts or ["A."])[number % len(texts or ["A."])]}, "finish_reason": "stop"}
        result = {"action": actions[number % len(actions)]}
        body = {"choices": [choice], "usage": {"completion_tokens": 2}, "moderation": {"input": {"results": [result]}}}
        return httpx2.Response(200, json=body)

    return httpx2.Client(base_url="http://here", transport=httpx2.MockTransport(answer)), asked


def test_as_many_chats_with_a_hint_as_without_are_compared_and_refused_ones_are_not():
    here, asked_here = connect(["refuse", "hint", "hint", "hint", "answer", "answer"])
    there, asked_there = connect(["hint", "hint", "answer", "answer"])
    compared, different = compare(here, there, "model", rows=2)
    assert (compared, different) == ({"hint": 2, "answer": 2}, [])
    assert asked_there == [asked_here[number] for number in (1, 2, 4, 5)]
    assert {part["type"] for part in asked_here[0]["messages"][0]["content"]} == {"image_url", "text"}


def test_what_differs_is_told():
    here, _ = connect(["hint", "answer"])
    there, _ = connect(["hint", "answer"], ["A.", "B."])
    _, [found] = compare(here, there, "model", rows=1)
    assert (found["here"]["text"], found["upstream"]["text"]) == ("A.", "B.")


def test_too_few_chats_of_a_kind_are_an_error():
    here, _ = connect(["refuse", "hint"])
    with pytest.raises(RuntimeError, match="1 of each"):
        compare(here, here, "model", rows=1)
