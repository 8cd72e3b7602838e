"""The provider `safe-llava/`: a SafeLLaVA and its base through the same code."""

import base64
import copy
import io
import json

import anyio
import pytest


pytest.importorskip("inspect_ai", reason="inspect-ai needs Python 3.11")

from inspect_ai.model import (
    ChatMessageSystem,
    ChatMessageUser,
    ContentImage,
    ContentText,
    GenerateConfig,
    Model,
    ModelOutput,
    get_model,
)
from inspect_ai.tool import ToolInfo

from safe_llava.evaluation.inspect import entry_point  # noqa: F401  (what inspect loads where we are installed)
from safe_llava.inference import ask
from safe_llava.models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from safe_llava.models.safety_texts import DEFAULT_REFUSALS


SHORT = GenerateConfig(max_tokens=6)


def user(question: str, *shown_images) -> ChatMessageUser:
    content = []
    for shown in shown_images:
        buffer = io.BytesIO()
        shown.save(buffer, format="PNG")
        encoded = base64.b64encode(buffer.getvalue()).decode()
        content.append(ContentImage(image=f"data:image/png;base64,{encoded}"))
    return ChatMessageUser(content=[*content, ContentText(text=question)])


def load(folder, **model_args) -> Model:
    return get_model(f"safe-llava/{folder}", memoize=False, device="cpu", **model_args)


def answer(model: Model, chat: list, config: GenerateConfig = SHORT) -> ModelOutput:
    return anyio.run(lambda: model.generate(chat, config=config))


def answer_at_once(model: Model, *chats: list) -> list[ModelOutput]:
    """As inspect asks."""
    outputs: list = [None] * len(chats)

    async def generate(place: int) -> None:
        outputs[place] = await model.generate(chats[place], config=SHORT)

    async def generate_all() -> None:
        async with anyio.create_task_group() as group:
            for place in range(len(chats)):
                group.start_soon(generate, place)

    anyio.run(generate_all)
    return outputs


@pytest.fixture(scope="module")
def base(llava_folder) -> Model:
    return load(llava_folder)


@pytest.fixture(scope="module")
def batch(safe_llava_folder, make_image):
    """A text, an image, two images: one batch."""
    chats = [
        [user("Hello?")],
        [user("Who is this?", make_image(1))],
        [user("A red circle?", *map(make_image, (2, 3)))],
    ]
    return answer_at_once(load(safe_llava_folder), *chats)


def test_concurrent_chats_share_a_batch(batch):
    assert [output.metadata["batch_size"] for output in batch] == [3, 3, 3]


@pytest.mark.parametrize(
    ("place", "question", "seeds"), [(0, "Hello?", ()), (1, "Who is this?", (1,)), (2, "A red circle?", (2, 3))]
)
def test_a_chat_is_answered_in_a_batch_as_it_is_alone(
    batch, place, question, seeds, tiny_safe_llava, tiny_processor, make_image
):
    alone = ask(tiny_safe_llava, tiny_processor, question, [make_image(seed) for seed in seeds], max_new_tokens=6)
    assert batch[place].completion == alone.answer


def test_the_verdict_stands_in_the_metadata_with_all_probabilities(
    batch, tiny_safe_llava, tiny_processor, make_image, assert_same_verdict
):
    alone = ask(tiny_safe_llava, tiny_processor, "Who is this?", [make_image(1)], max_new_tokens=1)
    verdict = batch[1].metadata["safety_verdict"]
    assert (*verdict["level_probs"], *verdict["type_probs"]) == (*SAFETY_LEVELS, *SAFETY_TYPES)
    assert_same_verdict(verdict, alone.verdict)


def test_the_decision_of_the_policy_stands_in_the_metadata(batch, tiny_safe_llava, tiny_processor, make_image):
    alone = ask(tiny_safe_llava, tiny_processor, "Who is this?", [make_image(1)], max_new_tokens=1)
    assert batch[1].metadata["safety_decision"]["action"] == alone.decision.action


def test_a_text_has_no_verdict(batch):
    assert batch[0].metadata["safety_verdict"] is None


def test_each_image_goes_through_the_vision_tower_once(batch):
    assert [output.metadata["vision_passes"] for output in batch] == [0.0, 1.0, 1.0]


def test_tokens_are_counted_without_padding(batch, tiny_processor):
    assert batch[0].usage.input_tokens == len(tiny_processor.tokenizer("USER: Hello? ASSISTANT:").input_ids)


def test_time_is_told(batch):
    assert batch[0].time > batch[0].metadata["seconds"] > 0


def test_a_base_answers_through_the_same_code(base, tiny_llava, tiny_llava_processor, make_image):
    output = answer(base, [user("Who is this?", make_image(1))])
    prompt = "USER: <image>\nWho is this? ASSISTANT:"
    inputs = tiny_llava_processor(images=[make_image(1)], text=prompt, return_tensors="pt")
    tokens = tiny_llava.generate(**inputs, max_new_tokens=6, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert output.completion == tiny_llava_processor.decode(tokens, skip_special_tokens=True).strip()


def test_a_base_has_no_verdict(base, make_image):
    output = answer(base, [user("Who is this?", make_image(1))])
    assert (output.metadata["safety_verdict"], output.metadata["safety_decision"]) == (None, None)


def test_text_cannot_pose_as_an_image_for_a_base(base, make_image):
    output = answer(base, [user("What does <image> mean?", make_image(1))])
    assert output.stop_reason == "max_tokens"


def test_a_policy_that_is_off_steers_nothing_and_the_verdict_is_given(
    alarmed_folder, alarmed_safe_llava, tiny_processor, make_image
):
    output = answer(load(alarmed_folder, safety_policy=False), [user("Who is this?", make_image(1))])
    alone = ask(
        alarmed_safe_llava, tiny_processor, "Who is this?", [make_image(1)], max_new_tokens=6, safety_policy=False
    )
    assert (output.completion, output.metadata["safety_decision"]) == (alone.answer, None)
    assert output.metadata["safety_verdict"]["level"] == "high"
    assert output.metadata["vision_passes"] == 1.0


def test_a_policy_file_changes_the_stored_policy(alarmed_folder, make_image, tmp_path):
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"actions": {"high": "refuse"}}))
    model = load(alarmed_folder, safety_policy=str(policy))
    output = answer(model, [user("Who is this?", make_image(1))], config=GenerateConfig(max_tokens=400))
    assert output.completion in DEFAULT_REFUSALS.values()
    assert output.stop_reason == "stop"


def test_results_of_other_policies_can_be_told_apart(alarmed_folder, make_image):
    digests = {
        answer(load(alarmed_folder, safety_policy=policy), [user("Who?", make_image(1))]).metadata["safety_policy"]
        for policy in (None, {"actions": {"high": "refuse"}}, "off")
    }
    assert len(digests) == 3


def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(base, make_image):
    model, chat = base, [user("Who is this?", make_image(1))]
    whole = answer(model, chat)
    stop = whole.completion[2]
    cut = answer(model, chat, config=GenerateConfig(max_tokens=6, stop_seqs=[stop]))
    assert cut.completion == whole.completion[:2].split(stop)[0].rstrip()
    assert (whole.stop_reason, cut.stop_reason) == ("max_tokens", "stop")


def test_sampling_repeats_with_its_seed(base, make_image):
    model, chat = base, [user("Who is this?", make_image(1))]
    first, again, other = (
        answer(model, chat, config=GenerateConfig(max_tokens=6, temperature=1.0, seed=seed)).completion
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_system_message_is_read(base):
    plain, with_system = answer_at_once(
        base, [user("Hello?")], [ChatMessageSystem(content="Be brief."), user("Hello?")]
    )
    assert with_system.usage.input_tokens > plain.usage.input_tokens


def test_a_broken_image_fails_its_own_chat_alone(base, make_image):
    broken = ChatMessageUser(content=[ContentImage(image="data:image/png;base64,AAAA"), ContentText(text="Who?")])

    async def ask_both() -> ModelOutput:
        whole = []

        async def ask_whole() -> None:
            whole.append(await base.generate([user("Who?", make_image(1))], config=SHORT))

        async with anyio.create_task_group() as group:
            group.start_soon(ask_whole)
            with pytest.raises(ValueError, match="no image format"):
                await base.generate([broken], config=SHORT)
        return whole[0]

    assert anyio.run(ask_both).completion


def test_an_option_that_would_be_ignored_is_refused(base):
    with pytest.raises(ValueError, match="num_choices"):
        anyio.run(lambda: base.generate("Hello?", config=GenerateConfig(num_choices=2)))


def test_tools_are_refused(base):
    tool = ToolInfo(name="add", description="Adds two numbers.")
    with pytest.raises(ValueError, match="calls no tools"):
        anyio.run(lambda: base.api.generate([user("Hello?")], [tool], "auto", SHORT))


def test_a_base_takes_no_policy(llava_folder):
    with pytest.raises(ValueError, match="takes no safety policy"):
        answer(load(llava_folder, safety_policy={"actions": {"high": "refuse"}}), [user("Hello?")])


def test_another_kind_of_model_is_refused(tiny_llava, tmp_path):
    copy.deepcopy(tiny_llava.config.text_config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a 'llama'"):
        answer(load(tmp_path), [user("Hello?")])


def test_nothing_is_loaded_before_the_first_chat(tmp_path):
    model = load(tmp_path / "missing")
    with pytest.raises(ValueError, match="cannot be loaded as a model"):
        answer(model, [user("Hello?")])


def test_a_batch_size_below_one_is_refused(tmp_path):
    with pytest.raises(ValueError, match="batch_size"):
        load(tmp_path, batch_size=0)
