"""One pass of the vision tower for the verdict here and the answer of another engine, which is sent its rows."""

import base64
import io

import pytest
import torch
from serving.fake_engine import FakeEngine
from serving.request_bodies import acting, image_part, text_part, to_data_url
from typer.testing import CliRunner

from safe_llava import SafeLlavaForSafetyClassification
from safe_llava.cli import app
from safe_llava.models.safety_labels import RISK_TYPES
from safe_llava.models.special_tokens import special_texts
from safe_llava.serving.guard_with_rows import GuardWithRows, load_guard_with_rows
from safe_llava.serving.serving_settings import Upstream
from safe_llava.serving.upstream_messages import to_upstream


HINTS = {name: {"high": "Take care."} for name in RISK_TYPES}


@pytest.fixture(scope="module")
def checkpoint(alarmed_safe_llava, tiny_processor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "whole"
    alarmed_safe_llava.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def guard(checkpoint) -> GuardWithRows:
    guard, _ = load_guard_with_rows(checkpoint, "cpu")
    return guard


@pytest.fixture
def front(serve, listen, guard):
    """`front(engine, policy changes)` starts a server that sends an engine rows."""

    def front(engine: FakeEngine, changes: dict, **settings):
        upstream = Upstream(f"{listen(engine.app)}/v1", "theirs", images="embeds")
        return serve(changes, model=guard, upstream=upstream, **settings)

    return front


def read_rows(part: dict) -> torch.Tensor:
    """As vLLM reads them."""
    assert set(part) == {"type", "image_embeds"} and part["type"] == "image_embeds"
    return torch.load(io.BytesIO(base64.b64decode(part["image_embeds"])), weights_only=True)


def expected_rows(model, processor, image) -> torch.Tensor:
    pixel_values = processor.image_processor(image, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        return model.get_image_features(pixel_values, return_dict=True).pooler_output[0]


def test_the_engine_gets_the_rows_that_the_whole_model_reads_in_one_pass(
    front, count_passes, guard, alarmed_safe_llava, tiny_processor, make_image
):
    engine = FakeEngine()
    server = front(engine, acting("hint", hints=HINTS))
    passes = count_passes(server)
    reply = server.chat(image_part(to_data_url(make_image(0))), text_part("Who?")).json()
    assert reply["choices"][0]["message"]["content"] == "A red circle."
    part, text = engine.asked[0]["messages"][0]["content"]
    assert text == {"type": "text", "text": "Who? Take care."}
    assert passes == [1]
    sent, model = read_rows(part), alarmed_safe_llava
    assert len(sent) > model.config.num_safety_tokens > 0
    assert torch.equal(sent, expected_rows(guard, tiny_processor, make_image(0)))  # Bit for bit.
    torch.testing.assert_close(sent, expected_rows(model, tiny_processor, make_image(0)))


def test_several_images_of_several_turns_keep_their_places(front, alarmed_safe_llava, tiny_processor, make_image):
    engine = FakeEngine()
    urls = [image_part(to_data_url(make_image(number))) for number in range(3)]
    messages = [
        {"role": "user", "content": [urls[0], text_part("And?"), urls[1]]},
        {"role": "assistant", "content": "So."},
        {"role": "user", "content": [text_part("And?"), urls[2]]},
    ]
    body = {"model": "tiny", "messages": messages, "max_tokens": 8}
    assert front(engine, acting("answer")).post("/v1/chat/completions", body).status_code == 200
    first, _, last = (message["content"] for message in engine.asked[0]["messages"])
    types = [[part["type"] for part in content] for content in (first, last)]
    assert types == [["image_embeds", "text", "image_embeds"], ["text", "image_embeds"]]
    for number, part in enumerate((first[0], first[2], last[1])):
        expected = expected_rows(alarmed_safe_llava, tiny_processor, make_image(number))
        torch.testing.assert_close(read_rows(part), expected)


def test_no_rows_but_an_image_s_own_leave(tiny_processor):
    """A view is saved with all that it is a view of."""
    rows = torch.randn(5, 4, 3)
    messages = [{"role": "user", "content": [{"type": "image", "image": None}]}]
    [message] = to_upstream(messages, (), special_texts(tiny_processor), [rows[2]])
    sent = read_rows(message["content"][0])
    assert torch.equal(sent, rows[2])
    assert sent.untyped_storage().nbytes() == sent.nbytes


@pytest.mark.parametrize("number", [0, 2])
def test_an_image_is_not_left_out_nor_another_sent(tiny_processor, number):
    messages = [{"role": "user", "content": [{"type": "image", "image": None}]}]
    with pytest.raises(ValueError, match="1 images"):
        to_upstream(messages, (), special_texts(tiny_processor), [torch.zeros(4, 3)] * number)


def test_a_chat_without_an_image_and_a_refusal_send_no_rows(front, image_url):
    engine = FakeEngine()
    server = front(engine, acting("refuse"))
    assert server.chat(text_part("Who?")).status_code == 200
    assert engine.asked[0]["messages"][0]["content"] == [text_part("Who?")]
    assert server.chat(image_part(image_url)).json()["choices"][0]["message"]["refusal"]
    assert len(engine.asked) == 1


def test_it_assesses_as_the_whole_model_without_a_layer_of_the_language_model(
    guard, alarmed_safe_llava, tiny_processor, make_image
):
    content = [{"type": "image", "image": make_image(0)}, {"type": "text", "text": "Who is this?"}]
    inputs = tiny_processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert guard.explain_distrust() is None
    here, there = guard.assess(**inputs), alarmed_safe_llava.assess(**inputs)
    torch.testing.assert_close(here.level_logits, there.level_logits)
    torch.testing.assert_close(here.type_logits, there.type_logits)
    assert len(guard.model.language_model.layers) == 0
    assert not guard.can_generate()


def test_a_guard_s_checkpoint_cannot_make_rows(checkpoint, tiny_processor, tmp_path):
    SafeLlavaForSafetyClassification.from_pretrained(checkpoint).save_pretrained(tmp_path / "guard")
    tiny_processor.save_pretrained(tmp_path / "guard")
    options = ["--device", "cpu", "--audit-log", str(tmp_path / "audit.jsonl")]
    options += ["--upstream", "http://127.0.0.1:9/v1", "--upstream-images", "embeds"]
    result = CliRunner().invoke(app, ["serve", str(tmp_path / "guard"), *options])
    assert result.exit_code == 1
    assert "--upstream-images images" in " ".join(result.output.split())
