"""Many clients at once, on one event loop."""

import asyncio

import httpx2
import pytest
from openai import AsyncOpenAI
from serving.leaving_clients import wait_for
from serving.request_bodies import acting, chat_body, image_part, text_part

from safe_llava.serving.server_app import build_app


@pytest.fixture
def run(serve):
    """`run(server, talk)` runs `talk(client)` with an asynchronous client of OpenAI."""

    def run(server, talk):
        async def main():
            transport = httpx2.ASGITransport(build_app(server.service))
            async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
                client = AsyncOpenAI(base_url="http://test/v1", api_key="none", http_client=http, max_retries=0)
                return await talk(client)

        return asyncio.run(main())

    return run


def test_requests_that_arrive_together_share_a_pass(serve, run, count_passes, image_url, other_url):
    server = serve(acting("hint"))
    batches = count_passes(server)
    batcher, assess = server.service._batcher, server.service._batcher.answer

    def assess_when_all_wait(requests, key):
        wait_for(lambda: sum(batches) + len(requests) + len(batcher._waiting) == 10)
        return assess(requests, key)

    batcher.answer = assess_when_all_wait

    async def talk(client):
        asked = [client.moderations.create(input=[image_part(url)]) for url in (image_url, other_url) * 5]
        return await asyncio.gather(*asked)

    replies = run(server, talk)
    assert sum(batches) == 10
    assert len(batches) <= 2
    scores = [reply.results[0].to_dict()["category_scores"]["privacy"] for reply in replies]
    assert scores[0::2] == pytest.approx([scores[0]] * 5, abs=1e-6)
    assert scores[1::2] == pytest.approx([scores[1]] * 5, abs=1e-6)
    assert scores[0] != pytest.approx(scores[1], abs=1e-5)


def test_chats_beyond_the_bound_are_told_to_come_back(serve, run, before_each_token, image_url):
    server = serve(acting("answer"), chats=2)
    before_each_token(server, lambda: wait_for(lambda: len(server.lines("rejected")) == 4))
    body = chat_body(image_part(image_url), text_part("Who?"), max_tokens=16)

    async def talk(client):
        asked = [client.chat.completions.with_raw_response.create(**body) for _ in range(6)]
        return await asyncio.gather(*asked, return_exceptions=True)

    replies = run(server, talk)
    refused = [reply for reply in replies if isinstance(reply, Exception)]
    assert [reply.status_code for reply in refused] == [429] * 4
    assert all(int(reply.response.headers["retry-after"]) >= 1 for reply in refused)
    assert [line["code"] for line in server.lines("rejected")] == ["busy"] * 4
    # The places are free again.
    assert server.chat(image_part(image_url)).status_code == 200


def test_the_log_and_the_counter_of_generations_agree(serve, run, image_url):
    server = serve(acting("hint"))

    async def talk(client):
        async def stream():
            asked = await client.chat.completions.create(**chat_body(image_part(image_url), stream=True))
            return [chunk async for chunk in asked]

        broken = client.chat.completions.create(**chat_body(image_part("data:image/png;base64,AAAA")))
        whole = client.chat.completions.create(**chat_body(image_part(image_url)))
        text = client.chat.completions.create(**chat_body(text_part("Who?")))
        return await asyncio.gather(stream(), stream(), broken, whole, text, return_exceptions=True)

    run(server, talk)
    generated = [line["id"] for line in server.lines("answered") if line["generated"]]
    assert len(generated) == 4
    assert server.service.metrics.registry.get_sample_value("safe_llava_generations_total") == 4
    assert set(generated) <= {line["id"] for line in server.lines("assessed")}
