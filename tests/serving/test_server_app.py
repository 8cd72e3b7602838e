"""Who may ask, what is answered, and what every wrong request gets: a clear 4xx, never a 500."""

import copy
import json
import random

import pytest
from pydantic import AfterValidator
from serving.request_bodies import acting, chat_body, image_part, text_part

from safe_llava.serving import chat_route, litellm_guardrail, moderation_route
from safe_llava.serving.guard_pass import GuardPass
from safe_llava.serving.request_schemas import AssistantMessage, ChatRequest, StreamOptions


ROUTES = (chat_route.ROUTE, moderation_route.ROUTE, litellm_guardrail.ROUTE)
KEY = {"Authorization": "Bearer open sesame"}


def test_no_other_route_answers(serve):
    server = serve()
    others = ("/", "/docs", "/redoc", "/openapi.json", "/v1", "/v1/completions", "/v1/responses", "/v1/messages")
    others += ("/generate", "/v1/embeddings", "/v1/chat/completions/", "/v1/models/tiny", "/metrics/", "/v1//models")
    for path in others:
        for reply in (server.client.get(path), server.client.post(path, json={})):
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "no_such_route"), path


def test_a_wrong_route_hears_of_the_right_ones(serve):
    client = serve().client
    said = client.post("/v1/responses", json={}).json()["error"]["message"]
    assert all(route in said for route in (*ROUTES, "/v1/models", "/health", "/metrics"))
    reply = client.get(chat_route.ROUTE)
    assert (reply.status_code, reply.json()["error"]["message"]) == (405, "This route takes POST.")


def test_the_model_is_listed_under_its_name(serve):
    assert [model.id for model in serve().openai.models.list()] == ["tiny"]


WRONG_KEYS = [
    {},
    {"Authorization": "Bearer wrong"},
    {"Authorization": "Bearer "},
    {"Authorization": "open sesame"},
    {"Authorization": "Basic open sesame"},
    {"x-api-key": ""},
]


@pytest.mark.parametrize("header", WRONG_KEYS)
def test_without_the_key_nothing_is_answered_but_health(serve, header, image_url):
    server = serve(api_key="open sesame")
    replies = [server.post(route, chat_body(image_part(image_url)), headers=header) for route in ROUTES]
    replies += [server.client.get(path, headers=header) for path in ("/v1/models", "/metrics")]
    assert [reply.status_code for reply in replies] == [401] * 5
    assert server.client.get("/health", headers=header).status_code == 200


@pytest.mark.parametrize("header", [KEY, {"x-api-key": "open sesame"}, {"authorization": "bearer open sesame"}])
def test_with_the_key_it_is(serve, header, image_url):
    server = serve(api_key="open sesame")
    assert server.post("/v1/moderations", {"input": [image_part(image_url)]}, headers=header).status_code == 200
    assert server.client.get("/metrics", headers=header).status_code == 200


@pytest.mark.parametrize("route", ROUTES)
def test_a_web_page_elsewhere_cannot_ask(serve, route):
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        reply = serve().client.post(route, content=b"{}", headers={"Content-Type": kind})
        assert reply.status_code == 415


@pytest.mark.parametrize("route", ROUTES)
def test_a_body_that_is_too_large_is_read_and_refused(serve, route):
    server = serve(body_bytes=1000)
    reply = server.post(route, {"input": "x" * 1000})
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "body_too_large")
    assert server.lines("rejected")[0]["code"] == "body_too_large"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 9}, "n"),
        ({"max_tokens": 2000}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 511}, "max_tokens"),
        ({"max_tokens": 4, "max_completion_tokens": 5}, "max_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "0.5"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop"),
        ({"seed": 2**63}, "seed"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"presence_penalty": 0.1}, "presence_penalty"),
        ({"top_k": 3}, "top_k"),
        ({"model": "gpt-4o"}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "Hi."}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "Hi."}]}, "messages.0"),
        ({"messages": [{"role": "user", "content": "?"}] * 65}, "messages"),
        ({"messages": [{"role": "user", "content": "word " * 25_000}]}, "messages"),
        ({"messages": [{"role": "user", "content": "word " * 600}]}, "messages"),
    ],
)
def test_a_field_that_cannot_be_served_is_named(serve, fields, param):
    server = serve()
    reply = server.post(chat_route.ROUTE, chat_body(text_part("Who?")) | fields)
    assert reply.status_code == (404 if param == "model" else 400)
    assert reply.json()["error"]["param"] == param
    assert reply.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["image", "input_image", "file", "video_url", "input_audio", "IMAGE_URL"])
def test_an_image_under_another_name_is_refused_and_not_passed_over(serve, image_url, kind):
    server = serve()
    part = {"type": kind, "image_url": {"url": image_url}, "image": image_url}
    assert server.chat(part, text_part("Who?")).status_code == 400
    assert server.moderate([part]).status_code == 400


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_images_of_others_than_the_user_are_refused_and_not_passed_over(serve, image_url, role):
    messages = [{"role": role, "content": [image_part(image_url)]}, {"role": "user", "content": "Who?"}]
    assert serve().post(chat_route.ROUTE, {"model": "tiny", "messages": messages}).status_code == 400


BROKEN = ["data:image/png;base64,AAAA", "data:,", "data:image/png;base64,%%%", "data:text/html,<img>", "data:"]


@pytest.mark.parametrize("url", BROKEN)
def test_a_broken_image_is_a_clear_4xx_on_every_route(serve, url):
    server = serve(acting("answer"))
    for reply in (server.chat(image_part(url), text_part("Who?")), server.moderate([image_part(url)])):
        assert reply.status_code == 400
        assert "image" in reply.json()["error"]["message"]
    assert server.lines("assessed") == []


def test_one_image_too_many_is_refused_over_all_inputs(serve, image_url):
    server = serve(images=2)
    assert server.moderate([[image_part(image_url)]] * 3).json()["error"]["code"] == "too_much"
    assert server.chat(*[image_part(image_url)] * 3).json()["error"]["code"] == "too_much"


def mutate(value, drawn: random.Random):
    """A JSON value with something wrong somewhere."""
    if isinstance(value, dict) and value and drawn.random() < 0.8:
        key = drawn.choice(list(value))
        if drawn.random() < 0.1:
            return {**value, "x" * drawn.randrange(5): None}
        return {**value, key: mutate(value[key], drawn)}
    if isinstance(value, list) and value and drawn.random() < 0.8:
        place = drawn.randrange(len(value))
        return [*value[:place], mutate(value[place], drawn), *value[place + 1 :]]
    junk = (None, True, -1, 0, 2**70, 1e308, "", "\ud800", "\x00", [], {}, [[]], {"type": "text"}, "data:;base64,/9j/",
            "http://[", "https://a\u0000b", {"url": None}, [None], "a" * 3000, {"role": "user"}, -0.0)  # fmt: skip
    return drawn.choice(junk)


def test_malformed_bodies_are_never_a_500_and_never_answered_unassessed(serve, image_url):
    drawn = random.Random(7)
    server = serve(acting("hint"), image_hosts=("images.invalid",), new_tokens=2)
    guardrail = {"input_type": "request", "texts": ["Who?"], "images": [image_url],
                 "structured_messages": chat_body(image_part(image_url), text_part("Who?"))["messages"]}  # fmt: skip
    bodies = {
        chat_route.ROUTE: chat_body(image_part(image_url), text_part("Who?"), stop=["x"], n=1, max_tokens=1),
        moderation_route.ROUTE: {
            "input": [[image_part(image_url), text_part("Who?")]],
            "safety_policy": acting("hint"),
        },
        litellm_guardrail.ROUTE: guardrail,
    }
    statuses = []
    for number in range(500):
        route = ROUTES[number % 3]
        text = json.dumps(mutate(bodies[route], drawn))
        if drawn.random() < 0.2:
            text = text[: drawn.randrange(len(text))] + drawn.choice(("", "NaN", "\x00", "[" * 500, "}"))
        content = text.encode(errors="surrogatepass")
        statuses.append(server.client.post(route, content=content, headers={"Content-Type": "application/json"}))
    assert {reply.status_code for reply in statuses} <= {200, 400, 404, 413}
    assert sum(reply.status_code == 200 for reply in statuses) < 400
    answered = [line["id"] for line in server.lines("answered") if line["generated"]]
    assert server.service.metrics.registry.get_sample_value("safe_llava_generations_total") == len(answered)
    assert set(answered) <= {line["id"] for line in server.lines("assessed")}


def test_a_failure_is_told_without_what_was_asked(serve, image_url, monkeypatch, caplog):
    words = "secret words"

    def fail(*arguments):
        raise RuntimeError(words)

    monkeypatch.setattr(GuardPass, "__call__", fail)
    server = serve()
    reply = server.chat(image_part(image_url), text_part("secret words"))
    assert reply.status_code == 500
    assert "secret" not in reply.text + caplog.text
    assert server.lines("answered") == []
    assert server.lines("rejected")[0]["status"] == 500


def test_a_failure_while_answering_ends_a_stream_with_an_error(serve, image_url, monkeypatch):
    server = serve(acting("answer"))
    monkeypatch.setattr(server.service.guard.model, "generate", lambda **arguments: 1 / 0)
    events = server.chat(image_part(image_url), stream=True).text.strip().split("\n\n")
    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "failed"
    assert "[DONE]" not in events[-1] and "finish_reason" not in events[-1]
    assert [line["outcome"] for line in server.lines("answered")] == ["failed"]


def test_metrics_tell_numbers_and_no_content(serve, image_url):
    server = serve(acting("refuse"))
    server.chat(image_part(image_url), text_part("secret words"))
    text = server.client.get("/metrics").text
    assert 'safe_llava_verdicts_total{action="refuse",level="high",trusted="true"} 1.0' in text
    assert 'safe_llava_requests_total{route="/v1/chat/completions",status="200"} 1.0' in text
    assert "secret" not in text


def test_what_is_not_done_here_is_named_and_may_be_null(serve):
    server = serve()
    places = {"": ChatRequest, "stream_options.": StreamOptions, "messages.0.": AssistantMessage}
    chat = {"model": "tiny", "max_tokens": 1, "stream": True, "stream_options": {}}
    chat["messages"] = [{"role": "assistant", "content": "Hi."}, {"role": "user", "content": "Hi."}]
    nothing = copy.deepcopy(chat)
    for place, schema in places.items():
        for name, field in schema.model_fields.items():
            if not any(isinstance(rule, AfterValidator) for rule in field.metadata):
                continue
            _find(nothing, place)[name] = None
            for value in (["much"], {"type": "much"}, True, "much"):
                body = copy.deepcopy(chat)
                _find(body, place)[name] = value
                error = server.post(chat_route.ROUTE, body).json()["error"]
                assert (error["param"], "has no effect here" in error["message"]) == (f"{place}{name}", True), value
    assert len(nothing) > 15
    assert server.post(chat_route.ROUTE, nothing).status_code == 200


def _find(body: dict, place: str) -> dict:
    return {"": body, "stream_options.": body["stream_options"], "messages.0.": body["messages"][0]}[place]


@pytest.mark.parametrize(
    ("content", "param", "words"),
    [
        ([text_part("Hi."), {"type": "input_audio"}], "messages.0.content.1", "'text', 'image_url'"),
        ([image_part("data:,") | {"image_url": "data:,"}], "messages.0.content.0.image_url", "object"),
        ([{"type": "image_url", "image_url": {}}], "messages.0.content.0.image_url.url", "required"),
        ([text_part("Hi.") | {"text": 5}], "messages.0.content.0.text", "string"),
        ([text_part("Hi.") | {"txt": ""}], "messages.0.content.0.txt", "no effect"),
        (5, "messages.0.content", "valid string, or: "),
    ],
)
def test_the_place_in_the_body_is_named_and_not_that_in_the_schema(serve, content, param, words):
    reply = serve().post(chat_route.ROUTE, {"model": "tiny", "messages": [{"role": "user", "content": content}]})
    error = reply.json()["error"]
    assert (error["param"], words in error["message"]) == (param, True), error
