"""Clients that leave: over real connections, their answers stop, and the log says so."""

import time
from collections.abc import Callable

import httpx2
import pytest
from serving.request_bodies import chat_body, image_part


LONG = {"max_tokens": 440, "n": 8}


def wait_for(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_idle(server) -> bool:
    return server.service.worker._running is None and server.lines("answered") != []


def test_a_stream_that_nobody_reads_stops(connect, image_url):
    server, client = connect()
    body = chat_body(image_part(image_url), stream=True, **LONG)
    with client.stream("POST", "/v1/chat/completions", json=body) as reply:
        assert next(reply.iter_lines()).startswith("data: ")
    wait_for(lambda: is_idle(server))
    [line] = server.lines("answered")
    assert (line["outcome"], line["generated"]) == ("client_left", True)
    assert line["finish_reasons"].count(None) > 4


def test_an_answer_that_nobody_waits_for_stops(connect, image_url):
    server, client = connect()
    with pytest.raises(httpx2.ReadTimeout):
        client.post("/v1/chat/completions", json=chat_body(image_part(image_url), **LONG), timeout=1)
    wait_for(lambda: is_idle(server))
    [line] = server.lines("answered")
    assert (line["outcome"], line["generated"]) == ("client_left", True)
    assert server.lines("rejected")[0]["code"] == "client_left"


def test_who_leaves_the_queue_is_never_answered(connect, image_url):
    server, client = connect()
    with client.stream("POST", "/v1/chat/completions", json=chat_body(image_part(image_url), stream=True, **LONG)):
        with pytest.raises(httpx2.ReadTimeout):
            client.post("/v1/chat/completions", json=chat_body(image_part(image_url)), timeout=0.5)
        wait_for(lambda: server.lines("answered"))
    [line] = server.lines("answered")[:1]
    assert (line["outcome"], line["generated"]) == ("client_left", False)
    wait_for(lambda: server.service.worker._running is None)
    assert server.service.metrics.registry.get_sample_value("safe_llava_generations_total") == 1


def test_who_sends_too_slowly_is_told_so(connect):
    server, client = connect(body_seconds=0.3)

    def drip():
        yield b"{"
        time.sleep(1)
        yield b"}"

    headers = {"Content-Type": "application/json"}
    reply = client.post("/v1/moderations", content=drip(), headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (408, "too_slow")
    assert server.lines("rejected")[0]["code"] == "too_slow"


def test_places_are_free_again_after_all_that(connect, image_url):
    server, client = connect(chats=1)
    for _ in range(3):
        with client.stream("POST", "/v1/chat/completions", json=chat_body(image_part(image_url), stream=True, **LONG)):
            pass
        wait_for(lambda: client.post("/v1/chat/completions", json=chat_body(image_part(image_url))).status_code == 200)
    assert {line["outcome"] for line in server.lines("answered")} == {"client_left", "whole"}
