"""Many clients at once, some of which misbehave: the short form of `recipes/benchmark/serving_traffic.py`."""

import asyncio

import httpx2

from recipes.benchmark.serving_speed import ask_server, measure
from recipes.benchmark.serving_traffic import count_generations, run_traffic


def test_every_answer_is_a_verdict_a_clear_error_or_the_advice_to_come_back(connect):
    server, client = connect(chats=4, moderations=4, body_bytes=100_000)
    traffic = asyncio.run(run_traffic(str(client.base_url), "tiny", clients=24, seconds=4, max_body=100_000))
    assert traffic.unexpected == []
    assert {"200", "400", "413", "429", "left"} >= traffic.replies.keys() >= {"200", "400", "413"}
    generated = [line for line in server.lines("answered") if line["generated"]]
    assert len(generated) == count_generations(client.get("/metrics").text) > 0
    assert {line["id"] for line in generated} <= {line["id"] for line in server.lines("assessed") if line["assessed"]}
    assert not [line for line in server.lines("rejected") if line["status"] >= 500]


def test_speed_is_measured_over_whole_answers(connect):
    server, client = connect()

    async def run():
        async with httpx2.AsyncClient(base_url=client.base_url) as http:
            return await measure(ask_server(http), clients=2, seconds=0.5)

    figures = asyncio.run(run())
    assert len(server.lines("assessed")) >= round(figures["per_second"] * 0.5) > 0
    assert 0 < figures["median"] <= figures["p95"]
