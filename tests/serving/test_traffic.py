"""Many clients at once, some of which misbehave: the short form of `recipes/benchmark/serving_traffic.py`."""

import asyncio
import collections
import time

import httpx2

from recipes.benchmark.serving_speed import ask_server, measure
from recipes.benchmark.serving_traffic import count_generations, run_traffic


def test_every_answer_is_a_verdict_a_clear_error_or_the_advice_to_come_back(connect):
    server, client = connect(chats=4, moderations=4, body_bytes=100_000)
    replies: collections.Counter[str] = collections.Counter()
    for seed in range(100):  # Until all kinds were met, however long a slow machine takes.
        asked = run_traffic(str(client.base_url), "tiny", clients=24, seconds=1, max_body=100_000, seed=seed)
        traffic = asyncio.run(asked)
        assert traffic.unexpected == []
        replies += traffic.replies
        if {"200", "400", "413"} <= replies.keys() and count_generations(client.get("/metrics").text):
            break
    assert {"200", "400", "413", "429", "left"} >= replies.keys() >= {"200", "400", "413"}
    generated = [line for line in server.lines("answered") if line["generated"]]
    assert len(generated) == count_generations(client.get("/metrics").text) > 0
    assert {line["id"] for line in generated} <= {line["id"] for line in server.lines("assessed") if line["assessed"]}
    assert not [line for line in server.lines("rejected") if line["status"] >= 500]


def test_speed_is_measured_over_whole_answers(connect):
    server, client = connect()

    async def run():
        async with httpx2.AsyncClient(base_url=client.base_url) as http:
            return await measure(ask_server(http), clients=2, seconds=0.5)

    started = time.perf_counter()
    figures = asyncio.run(run())
    answered, seconds = len(server.lines("assessed")), time.perf_counter() - started
    assert answered / seconds <= figures["per_second"] <= answered / 0.5
    assert 0 < figures["median"] <= figures["p95"]
