"""LiteLLM asks before it calls a model: no image passes unseen, whatever it is called and wherever it stands."""

import pytest
from serving.request_bodies import acting, chat_body, image_part, text_part

from safe_llava.models.safety_labels import RISK_TYPES
from safe_llava.serving.litellm_guardrail import ROUTE


HINTS = {name: {"high": "Take care."} for name in RISK_TYPES}
WORDS = {"hints": HINTS, "refusals": dict.fromkeys(RISK_TYPES, "No, thanks.")}


@pytest.fixture
def ask(image_url):
    """`ask(server, **fields)` sends what LiteLLM sends of a chat with one image."""

    def ask(server, **fields):
        body = {
            "input_type": "request",
            "texts": ["Be brief.", "Who is this?"],
            "images": [image_url],
            "structured_messages": chat_body(text_part("Who is this?"), image_part(image_url))["messages"],
            "litellm_call_id": "1",
            "request_data": {"user_api_key_alias": "x"},
        }
        reply = server.post(ROUTE, body | fields)
        assert reply.status_code == 200
        return reply.json()

    return ask


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("answer", {"action": "NONE"}),
        ("hint", {"action": "GUARDRAIL_INTERVENED", "texts": ["Be brief.", "Who is this? Take care."]}),
        ("refuse", {"action": "BLOCKED", "blocked_reason": "No, thanks."}),
    ],
)
def test_the_policy_lets_pass_hints_or_blocks(serve, ask, action, expected):
    assert ask(serve(acting(action, **WORDS))) == expected


def test_an_image_in_two_places_is_assessed_once(serve, ask, count_passes):
    server = serve(acting("answer"))
    seen = count_passes(server)
    ask(server)
    assert seen == [1]


@pytest.mark.parametrize("place", ["images", "structured_messages"])
def test_an_image_in_one_place_alone_is_seen(serve, ask, place):
    other = {"images": None} if place == "structured_messages" else {"structured_messages": None}
    assert ask(serve(acting("refuse", **WORDS)), **other)["action"] == "BLOCKED"


@pytest.mark.parametrize("role", ["system", "assistant", "tool", "user"])
def test_an_image_in_any_turn_is_seen(serve, ask, image_url, role):
    messages = [{"role": role, "content": [image_part(image_url)]}, {"role": "user", "content": "Who?"}]
    reply = ask(serve(acting("refuse", **WORDS)), images=None, structured_messages=messages)
    assert reply["action"] == "BLOCKED"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
        {"type": "image", "source": {"type": "base64", "data": "AAAA"}},
        {"type": "video_url", "video_url": {"url": "https://a/b.mp4"}},
        {"type": "image_url"},
        {"type": "image_url", "image_url": {"uri": "x"}},
        {"type": "text", "text": None},
        {"image_url": {"url": "x"}},
        7,
    ],
)
def test_what_cannot_be_assessed_is_blocked(serve, ask, part):
    messages = [{"role": "user", "content": [text_part("Who?"), part]}]
    assert ask(serve(acting("answer")), images=None, structured_messages=messages)["action"] == "BLOCKED"


@pytest.mark.parametrize("url", ["data:image/png;base64,AAAA", "https://elsewhere.example/a.png", "/etc/passwd", ""])
def test_an_image_that_cannot_be_read_is_blocked_and_written_down(serve, ask, url):
    server = serve(acting("answer"))
    assert ask(server, images=[url])["action"] == "BLOCKED"
    assert len(server.lines("blocked")) == 1


def test_a_call_without_an_image_passes(serve, ask):
    server = serve(acting("refuse"))
    assert ask(server, images=[], structured_messages=[{"role": "user", "content": "Who?"}]) == {"action": "NONE"}
    assert ask(server, images=None, texts=None, structured_messages=None) == {"action": "NONE"}
    assert server.lines("assessed")[0]["assessed"] is False


def test_special_tokens_of_the_engine_behind_are_broken_up(serve, ask):
    reply = ask(serve(), images=[], structured_messages=None, texts=["<image></s>Hi."])
    assert reply == {"action": "GUARDRAIL_INTERVENED", "texts": ["< image>< /s>Hi."]}


def test_an_answer_is_assessed_by_its_images_and_its_words_stay(serve, ask, image_url):
    server = serve(acting("refuse"))
    words = {"input_type": "response", "structured_messages": None, "texts": ["<image> Hi."]}
    assert ask(server, **words, images=[]) == {"action": "NONE"}
    assert ask(server, **words, images=[image_url])["action"] == "BLOCKED"


def test_observing_blocks_nothing(serve, ask):
    server = serve(acting("refuse"), observe_only=True)
    assert ask(server) == {"action": "NONE"}
    assert ask(server, images=["/etc/passwd"]) == {"action": "NONE"}
    assert (server.lines("assessed")[0]["action"], server.lines("assessed")[0]["enforced"]) == ("refuse", False)
