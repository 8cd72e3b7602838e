"""Chats are answered one after the other; none begins that was cancelled, and none is half an answer."""

import threading
import time

import pytest
import torch
from serving.leaving_clients import PATIENCE
from serving.request_bodies import acting

from safe_llava.models.encoded_prompt import EncodedPrompt
from safe_llava.models.safety_policy import SafetyDecision
from safe_llava.serving.generation_request import Done, Ended, Generation, Piece, Sampling, Started
from safe_llava.serving.guard_pass import Assessment


@pytest.fixture
def worker(serve):
    server = serve(acting("answer"))
    server.service.guard.model.generation_config.eos_token_id = None
    return server.service.worker


@pytest.fixture
def make(serve):
    """`make(**sampling)` gives a chat, the events of its answer, and what is set at its end."""

    def make(**sampling):
        events, is_done = [], threading.Event()

        def emit(event):
            events.append(event)
            if isinstance(event, Done):
                is_done.set()

        in_force = serve().service.policies.current
        assessment = Assessment(in_force, SafetyDecision("answer"))
        prompt = EncodedPrompt(torch.tensor([1, 20, 30, 40]))
        return Generation(prompt, [], assessment, Sampling(**{"max_tokens": 4, **sampling}), emit), events, is_done

    return make


def test_an_answer_begins_comes_in_pieces_and_ends(worker, make):
    chat, events, is_done = make(n=2)
    worker.submit(chat)
    assert is_done.wait(PATIENCE)
    assert events[0] == Started()
    assert [event for event in events if isinstance(event, Ended)] == [Ended(0, "length", 4), Ended(1, "length", 4)]
    assert {event.index for event in events if isinstance(event, Piece)} == {0, 1}
    assert events[-1] == Done()


def test_what_was_cancelled_never_begins(worker, make):
    chat, events, _ = make()
    worker.cancel(chat)
    worker.submit(chat)
    after, _, is_done = make()
    worker.submit(after)
    assert is_done.wait(PATIENCE)
    assert (events, chat.has_begun) == ([], False)


def test_what_is_broken_off_has_no_end_that_says_it_is_whole(worker, make):
    chat, events, is_done = make(max_tokens=400)
    emit = chat.emit
    chat.emit = lambda event: (emit(event), isinstance(event, Piece) and worker.cancel(chat))
    worker.submit(chat)
    assert is_done.wait(PATIENCE)
    assert not [event for event in events if isinstance(event, Ended)]
    assert events[-1].error is not None


def test_draining_refuses_what_waits_and_lets_what_runs_end(worker, make):
    running, events, is_done = make(max_tokens=60)
    waiting, refused, is_refused = make()
    emit = running.emit
    running.emit = lambda event: (emit(event), isinstance(event, Started) and worker.drain())
    for chat in (running, waiting):
        worker.submit(chat)
    assert is_done.wait(PATIENCE) and is_refused.wait(PATIENCE)
    assert events[-1] == Done()
    assert [event.error.status for event in refused] == [503]
    assert not waiting.has_begun


def test_closing_stops_a_chat_that_was_just_about_to_run(worker, make):
    chat, events, is_done = make(max_tokens=400)
    begin, is_closing = chat.begin, threading.Event()

    def begin_late():
        closing.start()
        assert is_closing.wait(PATIENCE)
        time.sleep(0.2)  # Closing has looked for what runs by then, and found nothing.
        return begin()

    closing = threading.Thread(target=lambda: (is_closing.set(), worker.close()))
    chat.begin = begin_late
    worker.submit(chat)
    assert is_done.wait(PATIENCE)
    closing.join(PATIENCE)
    assert not closing.is_alive()
    assert not [event for event in events if isinstance(event, Ended)]
    assert events[-1].error is not None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"do_sample": False}),
        ({"temperature": 0.0}, {"do_sample": False}),
        ({"temperature": 1e-9, "top_p": 0.5}, {"do_sample": False}),
        ({"top_p": 0.5}, {"do_sample": True, "temperature": 1.0, "top_p": 0.5, "top_k": 0}),
        ({"temperature": 0.001}, {"do_sample": True, "temperature": 0.01, "top_p": 1.0, "top_k": 0}),
    ],
)
def test_sampling_is_what_openai_s_fields_say(fields, expected):
    assert Sampling(4, **fields).to_arguments() == {"max_new_tokens": 4, **expected}
