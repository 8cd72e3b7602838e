"""`POST /v1/moderations`, as OpenAI's client meets it."""

import copy
import math

import pytest
from serving.request_bodies import acting, image_part, text_part

from safe_llava.models.safety_labels import RISK_TYPES


FOUR_FIELDS = {"flagged", "categories", "category_scores", "category_applied_input_types"}


def test_an_image_gets_the_verdict_that_assess_gives(serve, image_url, make_image, tiny_processor):
    server = serve(acting("hint"))
    [result] = server.moderate([image_part(image_url), text_part("Who is this?")]).json()["results"]
    content = [{"type": "image", "image": make_image(0)}, {"type": "text", "text": "Who is this?"}]
    inputs = tiny_processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    verdict = server.service.guard.model.assess(**inputs)
    row, decision = verdict.to_list()[0], server.service.guard.model.decide(verdict)[0]
    assert result["category_scores"] == pytest.approx({name: row["type_probs"][name] for name in RISK_TYPES})
    assert result["level_scores"] == pytest.approx(row["level_probs"])
    assert (result["level"], result["action"]) == (row["level"], decision.action)
    assert result["categories"] == {name: name in decision.types for name in RISK_TYPES}


def test_openai_s_client_reads_the_four_fields_and_ours(serve, image_url):
    [result] = serve(acting("refuse")).openai.moderations.create(input=[image_part(image_url)]).results
    assert result.flagged is True
    assert result.to_dict().keys() >= FOUR_FIELDS
    extras = result.model_extra
    assert (extras["level"], extras["action"], extras["trusted"]) == ("high", "refuse", True)
    assert len(extras["policy_version"]) == 12


def test_what_the_policy_answers_is_not_flagged(serve, image_url):
    [result] = serve(acting("answer")).moderate([image_part(image_url)]).json()["results"]
    assert result["flagged"] is False
    assert not any(result["categories"].values())


def test_an_image_alone_is_not_said_to_rest_on_words(serve, image_url):
    alone, asked = (
        serve().moderate([[image_part(image_url)], [image_part(image_url), text_part("Who?")]]).json()["results"]
    )
    assert set(map(tuple, alone["category_applied_input_types"].values())) == {("image",)}
    assert set(map(tuple, asked["category_applied_input_types"].values())) == {("image", "text")}


@pytest.mark.parametrize("input", ["Who is this?", ["Who is this?"], [text_part("Who is this?")]])
def test_text_alone_is_said_to_be_not_assessed(serve, input):
    server = serve(acting("refuse"))
    [result] = server.moderate(input).json()["results"]
    assert result.keys() >= FOUR_FIELDS
    assert (result["assessed"], result["flagged"], result["category_scores"]) == (False, None, {})
    assert "not assessed" in result["reason"]
    assert server.lines("assessed")[0]["assessed"] is False


def test_each_input_of_a_call_gets_its_result_in_order(serve, image_url, other_url):
    server = serve()
    urls = [image_url, other_url, image_url]
    results = server.moderate([[image_part(url)] for url in urls]).json()["results"]
    alone = [server.moderate([image_part(url)]).json()["results"][0] for url in urls]
    for result, expected in zip(results, alone, strict=True):
        assert result["category_scores"] == pytest.approx(expected["category_scores"], abs=1e-6)
    assert results[0]["category_scores"] != pytest.approx(results[1]["category_scores"], abs=1e-4)


def test_a_verdict_that_cannot_be_trusted_flags_all_and_has_no_score(serve, image_url, tiny_safe_llava):
    model = copy.deepcopy(tiny_safe_llava)
    model.config.safety_training = None
    server = serve(model=model)
    [result] = server.moderate([image_part(image_url)]).json()["results"]
    assert (result["flagged"], result["trusted"], result["action"]) == (True, False, "refuse")
    assert all(result["categories"].values())
    assert result["category_scores"] == result["level_scores"] == {}
    assert server.client.get("/health").json()["trusted"] is False


def test_a_head_that_finds_no_number_is_answered_in_json(serve, image_url, tiny_safe_llava):
    model = copy.deepcopy(tiny_safe_llava)
    model.model.safety_modules.head.level_classifier.bias.data[0] = math.nan
    [result] = serve(model=model).moderate([image_part(image_url)]).json()["results"]
    assert (result["flagged"], result["trusted"]) == (True, False)


def test_a_request_may_ask_for_more_and_not_for_less(serve, image_url):
    server = serve(acting("hint"))
    stricter = server.moderate([image_part(image_url)], safety_policy={"actions": {"high": "refuse"}}).json()
    assert stricter["results"][0]["action"] == "refuse"
    looser = server.moderate([image_part(image_url)], safety_policy={"actions": {"high": "answer"}})
    assert (looser.status_code, looser.json()["error"]["code"]) == (400, "policy_not_stricter")
