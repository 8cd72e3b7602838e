"""Requests that wait together are answered together."""

import time
from collections.abc import Sequence

import anyio

from safe_llava.batching import Batcher


class Recorder:
    """Doubles numbers, and remembers what came together."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, requests: Sequence[int], key: str) -> list[int]:
        self.batches.append(list(requests))
        if 13 in requests:
            raise ValueError("13 brings bad luck")
        return [2 * request for request in requests]


async def ask_all(batcher: Batcher, requests: Sequence[tuple[int, str]]) -> list[int | Exception]:
    replies: list[int | Exception] = [0] * len(requests)

    async def ask(place: int, request: int, key: str) -> None:
        try:
            replies[place] = await batcher(request, key)
        except ValueError as error:
            replies[place] = error

    async with anyio.create_task_group() as group:
        for place, (request, key) in enumerate(requests):
            group.start_soon(ask, place, request, key)
    return replies


def test_each_request_gets_its_own_reply():
    batcher = Batcher(Recorder(), batch_size=3)
    assert anyio.run(ask_all, batcher, [(number, "same") for number in range(7)]) == [0, 2, 4, 6, 8, 10, 12]


def test_concurrent_requests_make_full_batches():
    recorder = Recorder()
    anyio.run(ask_all, Batcher(recorder, batch_size=3), [(number, "same") for number in range(7)])
    assert [len(batch) for batch in recorder.batches] == [3, 3, 1]


def test_requests_with_other_settings_never_share_a_batch():
    recorder = Recorder()
    requests = [(number, "odd" if number % 2 else "even") for number in range(6)]
    anyio.run(ask_all, Batcher(recorder, batch_size=4), requests)
    assert sorted(recorder.batches) == [[0, 2, 4], [1, 3, 5]]


def test_an_error_reaches_every_request_of_its_batch_and_no_other():
    replies = anyio.run(ask_all, Batcher(Recorder(), batch_size=2), [(n, "same") for n in (1, 13, 2, 3)])
    assert [isinstance(reply, ValueError) for reply in replies] == [True, True, False, False]


def test_a_cancelled_request_is_not_answered():
    recorder = Recorder()

    async def cancel_one() -> None:
        batcher = Batcher(recorder, batch_size=8)
        with anyio.move_on_after(0.001):
            await batcher(1, "same")
        assert await batcher(2, "same") == 4

    anyio.run(cancel_one)
    assert recorder.batches == [[2]]


def test_requests_whose_leader_is_cancelled_are_answered_all_the_same():
    async def cancel_leader() -> list[int]:
        batcher = Batcher(lambda requests, key: time.sleep(0.3) or [2 * request for request in requests], batch_size=2)
        replies: list[int] = []

        async def lead() -> None:
            with anyio.move_on_after(0.1):
                await batcher(1, "same")

        async def follow() -> None:
            replies.append(await batcher(2, "same"))

        async with anyio.create_task_group() as group:
            group.start_soon(lead)
            group.start_soon(follow)
        return replies

    assert anyio.run(cancel_leader) == [4]
