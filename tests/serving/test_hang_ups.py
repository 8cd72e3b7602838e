"""Clients that leave: over real connections, their answers stop, and the log says so."""

import asyncio
import http.client
import json
import time

import pytest
from serving.leaving_clients import post_and_leave, wait_for
from serving.request_bodies import chat_body, image_part

from safe_llava.serving.chat_answer import outcome_of


LONG = {"max_tokens": 440, "n": 8}
CHAT = "/v1/chat/completions"


@pytest.fixture
def connect_slowly(connect, before_each_token):
    """As `connect`, to a server that would take minutes for a `LONG` answer: clients leave before its end."""

    def connect_slowly(**limits):
        server, client = connect(**limits)
        before_each_token(server, lambda: time.sleep(0.05))
        return server, client

    return connect_slowly


def is_idle(server) -> bool:
    return server.service.worker._running is None and server.lines("answered") != []


def test_a_stream_that_nobody_reads_stops(connect_slowly, image_url):
    server, client = connect_slowly()
    body = chat_body(image_part(image_url), stream=True, **LONG)
    with client.stream("POST", CHAT, json=body) as reply:
        assert next(reply.iter_lines()).startswith("data: ")
        wait_for(lambda: server.service.worker._running)
    wait_for(lambda: is_idle(server))
    [line] = server.lines("answered")
    assert (line["outcome"], line["generated"]) == ("client_left", True)
    assert line["finish_reasons"].count(None) > 4


def test_an_answer_that_nobody_waits_for_stops(connect_slowly, image_url):
    server, client = connect_slowly()
    body = chat_body(image_part(image_url), **LONG)
    post_and_leave(str(client.base_url.join(CHAT)), body, when=lambda: server.service.worker._running)
    wait_for(lambda: is_idle(server) and server.lines("rejected"))
    [line] = server.lines("answered")
    assert (line["outcome"], line["generated"]) == ("client_left", True)
    assert server.lines("rejected")[0]["code"] == "client_left"


def test_who_leaves_the_queue_is_never_answered(connect_slowly, image_url):
    server, client = connect_slowly()
    worker = server.service.worker
    with client.stream("POST", CHAT, json=chat_body(image_part(image_url), stream=True, **LONG)):
        body = chat_body(image_part(image_url))
        url = str(client.base_url.join(CHAT))
        post_and_leave(url, body, when=lambda: worker._running and worker._waiting.qsize() == 1)
        wait_for(lambda: server.lines("answered"))
    [line] = server.lines("answered")[:1]
    assert (line["outcome"], line["generated"]) == ("client_left", False)
    wait_for(lambda: worker._running is None)
    assert server.service.metrics.registry.get_sample_value("safe_llava_generations_total") == 1


def test_who_sends_too_slowly_is_told_so(connect):
    server, client = connect(body_seconds=0.3)
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port)
    connection.putrequest("POST", "/v1/moderations")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "2")
    connection.endheaders(b"{")  # The second byte never comes.
    reply = connection.getresponse()
    assert (reply.status, json.load(reply)["error"]["code"]) == (408, "too_slow")
    assert server.lines("rejected")[0]["code"] == "too_slow"
    connection.close()


def test_places_are_free_again_after_all_that(connect_slowly, image_url):
    server, client = connect_slowly(chats=1)
    short = chat_body(image_part(image_url), max_tokens=4)
    for _ in range(3):
        with client.stream("POST", CHAT, json=chat_body(image_part(image_url), stream=True, **LONG)):
            pass
        wait_for(lambda: client.post(CHAT, json=short).status_code == 200)
    assert {line["outcome"] for line in server.lines("answered")} == {"client_left", "whole"}


@pytest.mark.parametrize(("is_draining", "outcome"), [(True, "shutting_down"), (False, "client_left")])
def test_a_task_that_is_cancelled_says_why(is_draining, outcome):
    assert outcome_of(asyncio.CancelledError(), is_draining) == outcome
