"""The server with a LLaVA-NeXT and a LLaVA-OneVision: images of any size share a pass, and answers are the model's."""

import pytest
import torch
from serving.request_bodies import acting, chat_body, image_part, text_part, to_data_url

from safe_llava.inference import ask
from safe_llava.models.encoded_prompt import EncodedPrompt
from safe_llava.serving.guard_pass import GuardPass, GuardRequest
from safe_llava.serving.guard_with_rows import load_guard_with_rows
from tests.family_members import MEMBERS, alarm, build_member


pytestmark = pytest.mark.own_logic
SIZES = [(40, 30), (31, 97), (90, 20)]


@pytest.fixture(scope="module", params=MEMBERS)
def member(request):
    return build_member(request.param)


@pytest.fixture(scope="module")
def alarmed_safe_llava(member):
    return alarm(member.model)


@pytest.fixture(scope="module")
def tiny_processor(member):
    return member.processor


@pytest.fixture(scope="module")
def images(make_image):
    return [make_image(seed, *size) for seed, size in enumerate(SIZES)]


@pytest.mark.parametrize("action", ["answer", "hint"])
@pytest.mark.parametrize("number", [1, 3])
def test_the_answer_is_the_one_that_ask_gives(action, number, serve, images, tiny_processor):
    server = serve(acting(action))
    parts = [*(image_part(to_data_url(image)) for image in images[:number]), text_part("Who is this?")]
    messages = chat_body(*parts)["messages"]
    reply = server.openai.chat.completions.create(model="tiny", messages=messages, max_tokens=8)
    expected = ask(server.service.guard.model, tiny_processor, "Who is this?", images[:number], max_new_tokens=8)
    assert expected.decision.action == action
    assert reply.choices[0].message.content == expected.answer


def test_chats_that_wait_together_get_the_verdicts_that_they_get_alone(serve, images, member):
    server = serve(acting("hint"))
    names = member.processor.image_processor.model_input_names
    requests = []
    for group in (images[:1], images[1:], images[2:]):
        content = [*({"type": "image", "image": image} for image in group), {"type": "text", "text": "Who?"}]
        encoded = member.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        prompt = EncodedPrompt(encoded["input_ids"][0], {name: encoded[name] for name in names if name in encoded})
        requests.append(GuardRequest(prompt, server.service.policies.current, keeps_features=True))
    assess = GuardPass(server.service.guard)
    together, alone = assess(requests), [assess([request])[0] for request in requests]
    for one, other, group in zip(together, alone, ([0], [1, 2], [2])):
        assert one.verdict["level_probs"] == pytest.approx(other.verdict["level_probs"], abs=1e-5)
        assert one.features.num_images == len(group)
        assert one.features.num_placeholders == other.features.num_placeholders


def test_another_engine_gets_the_rows_of_each_image(member, alarmed_safe_llava, images, tmp_path):
    alarmed_safe_llava.save_pretrained(tmp_path)
    member.processor.save_pretrained(tmp_path)
    guard, processor = load_guard_with_rows(tmp_path, "cpu")
    encoded = processor.image_processor([images], return_tensors="pt")
    rows, expected = (model.get_image_features(**encoded).pooler_output for model in (guard, alarmed_safe_llava))
    assert [len(row) for row in rows] == [len(row) for row in expected]
    assert all(torch.equal(row, other) for row, other in zip(rows, expected))
