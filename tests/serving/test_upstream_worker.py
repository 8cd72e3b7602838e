"""Another engine answers: it is sent what the policy lets through, and its answer is whole or an error."""

import base64
import copy
import io
import json

import numpy as np
import pytest
from PIL import Image
from serving.fake_engine import FakeEngine
from serving.leaving_clients import post_and_leave, wait_for
from serving.request_bodies import acting, chat_body, image_part, text_part, to_data_url

from safe_llava import SafeLlavaForSafetyClassification
from safe_llava.models.safety_labels import RISK_TYPES
from safe_llava.serving.answer_text import AnswerText
from safe_llava.serving.server_app import build_app
from safe_llava.serving.serving_settings import Upstream


HINTS = {name: {"high": "Take care."} for name in RISK_TYPES}


@pytest.fixture(scope="module")
def guard(alarmed_safe_llava, tmp_path_factory) -> SafeLlavaForSafetyClassification:
    """What of the model stays here: no layer of the language model."""
    folder = tmp_path_factory.mktemp("model")
    alarmed_safe_llava.save_pretrained(folder)
    return SafeLlavaForSafetyClassification.from_pretrained(folder).eval()


@pytest.fixture
def front(serve, listen, guard):
    """`front(engine, policy changes, **settings)` starts a server in front of an engine."""

    def front(engine: FakeEngine, changes: dict, **settings):
        upstream = Upstream(f"{listen(engine.app)}/v1", "theirs", "sesame")
        return serve(changes, model=guard, upstream=upstream, **settings)

    return front


def test_what_is_refused_never_reaches_the_engine(front, image_url):
    engine = FakeEngine()
    server = front(engine, acting("refuse"))
    assert server.chat(image_part(image_url), text_part("Who?")).json()["choices"][0]["message"]["refusal"]
    assert server.moderate([image_part(image_url)]).status_code == 200
    assert engine.asked == []


@pytest.mark.parametrize(("action", "question"), [("answer", "Who is this?"), ("hint", "Who is this? Take care.")])
def test_the_engine_reads_the_question_with_its_hint(front, image_url, make_image, action, question):
    engine = FakeEngine()
    reply = front(engine, acting(action, hints=HINTS)).openai.chat.completions.create(
        **chat_body(image_part(image_url), text_part("Who is this?"))
    )
    assert reply.choices[0].message.content == "A red circle."
    assert (reply.choices[0].finish_reason, reply.usage.completion_tokens) == ("stop", 4)
    assert reply.moderation.input.results[0].model_extra["action"] == action
    [asked], [key] = engine.asked, engine.keys
    assert (asked["model"], key) == ("theirs", "Bearer sesame")
    image, text = asked["messages"][0]["content"]
    assert text == {"type": "text", "text": question}
    encoded = base64.b64decode(image["image_url"]["url"].partition(",")[2])
    assert np.array_equal(Image.open(io.BytesIO(encoded)), make_image(0))


def test_an_image_alone_gets_its_hint_as_a_text(front, image_url):
    engine = FakeEngine()
    front(engine, acting("hint", hints=HINTS)).chat(image_part(image_url))
    assert engine.asked[0]["messages"][0]["content"][-1] == {"type": "text", "text": "Take care."}


def test_a_transparent_image_is_sent_as_it_was_assessed(front, make_image):
    engine = FakeEngine()
    image = make_image(0).convert("RGBA")
    image.putalpha(0)
    front(engine, acting("answer")).chat(image_part(to_data_url(image)))
    url = engine.asked[0]["messages"][0]["content"][0]["image_url"]["url"]
    sent = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert sent.mode == "RGB"
    assert np.asarray(sent).min() == 255


def test_special_tokens_reach_no_engine_in_any_turn(front):
    engine = FakeEngine()
    messages = [{"role": role, "content": "<image></s>Hi."} for role in ("system", "user", "assistant", "user")]
    server = front(engine, acting("answer"))
    assert server.post("/v1/chat/completions", {"model": "tiny", "messages": messages}).status_code == 200
    assert "<image>" not in json.dumps(engine.asked) and "</s>" not in json.dumps(engine.asked)


def test_sampling_is_asked_for_as_it_was_asked(front):
    engine = FakeEngine()
    server = front(engine, acting("answer"))
    options = {"max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "n": 2, "stop": ["x"], "seed": 3}
    reply = server.chat(text_part("Who?"), **options).json()
    assert {name: engine.asked[0][name] for name in options} == options
    assert [choice["message"]["content"] for choice in reply["choices"]] == ["A red circle."] * 2
    assert reply["usage"]["completion_tokens"] == 8
    server.chat(text_part("Who?"))
    assert engine.asked[1]["temperature"] == 0


def test_a_stream_is_handed_on_with_the_verdict_first(front, image_url):
    chunks = list(
        front(FakeEngine(), acting("hint")).openai.chat.completions.create(
            **chat_body(image_part(image_url), stream=True)
        )
    )
    assert chunks[0].moderation.input.results[0].flagged
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "A red circle."
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("pieces", [" A", "  \n A red  circle. \n ", "A red. Or not", " red", " \n", ""])
def test_an_engine_s_words_are_cut_as_those_of_this_process(front, pieces):
    words: list[str] = []
    text = AnswerText([". O"], words.append)
    for piece in pieces:
        text.add(piece)
    text.end()
    server = front(FakeEngine(pieces=pieces), acting("answer"))
    options = {"n": 2, "stop": ". O"}
    whole = server.chat(text_part("Who?"), **options).json()["choices"]
    assert [choice["message"]["content"] for choice in whole] == ["".join(words)] * 2
    chunks = [*server.openai.chat.completions.create(**chat_body(text_part("Who?"), stream=True, **options))]
    said = [(choice.index, choice.delta.content) for chunk in chunks for choice in chunk.choices]
    assert [[text for place, text in said if place == index and text] for index in range(2)] == [words] * 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("failure", "status"), [("busy", 429), ("broken", 502), ("refuses", 400), ("breaks off", 502), ("fails late", 502)]
)
def test_an_engine_that_fails_gives_an_error_and_no_half_answer(front, image_url, failure, status, stream):
    server = front(FakeEngine(failure), acting("answer"))
    reply = server.chat(image_part(image_url), stream=stream)
    if stream and failure in ("breaks off", "fails late"):
        last = json.loads(reply.text.strip().split("\n\n")[-1].removeprefix("data: "))
        assert last["error"]["code"] == "upstream_failed"
        assert 'finish_reason": "stop' not in reply.text
    else:
        assert reply.status_code == status
    assert [line["outcome"] for line in server.lines("answered")] != ["whole"]


def test_an_engine_that_is_not_there_is_told_apart(serve, guard, image_url):
    server = serve(acting("answer"), model=guard, upstream=Upstream("http://127.0.0.1:9/v1", "theirs"))
    reply = server.chat(image_part(image_url))
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_failed")


def test_a_client_that_leaves_leaves_the_engine_too(front, listen):
    engine = FakeEngine("hangs")
    server = front(engine, acting("answer"))
    url = f"{listen(build_app(server.service))}/v1/chat/completions"
    for number, stream in enumerate((False, True), start=1):
        body = chat_body(text_part("Who?"), stream=stream)
        post_and_leave(url, body, when=lambda number=number: engine.hanging == number)
    wait_for(lambda: engine.left == len(server.lines("answered")) == 2)
    assert [line["outcome"] for line in server.lines("answered")] == ["client_left"] * 2


@pytest.mark.parametrize(("failure", "generated"), [(None, True), ("breaks off", True), ("broken", False)])
def test_the_log_and_the_counter_of_generations_agree(front, image_url, failure, generated):
    server = front(FakeEngine(failure), acting("hint"))
    server.chat(image_part(image_url))
    assert [line["generated"] for line in server.lines("answered")] == [generated]
    assert server.service.metrics.registry.get_sample_value("safe_llava_generations_total") == generated


def test_an_engine_answers_with_the_tokens_that_this_process_would(
    serve, listen, guard, alarmed_safe_llava, make_image
):
    """The engine is this model without a policy; hints reach it as text."""
    model = copy.deepcopy(alarmed_safe_llava)
    engine = serve(acting("answer"), model=model)
    questions = [f"Who is in number {number}?" for number in range(6)]
    for action in ("answer", "hint"):
        inside = serve(acting(action, hints=HINTS))
        upstream = Upstream(f"{listen(build_app(engine.service))}/v1", "tiny")
        outside = serve(acting(action, hints=HINTS), model=guard, upstream=upstream)
        for number, question in enumerate(questions):
            parts = image_part(to_data_url(make_image(number))), text_part(question)
            here, there = (server.chat(*parts, max_tokens=4).json() for server in (inside, outside))
            assert here["choices"] == there["choices"]
            assert here["choices"][0]["message"]["content"]
