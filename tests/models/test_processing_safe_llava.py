import pytest
from transformers import AutoProcessor

from safe_llava import SafeLlavaProcessor


def user(*content: dict) -> list[dict]:
    return [{"role": "user", "content": list(content)}]


def text(value: str) -> dict:
    return {"type": "text", "text": value}


def tokenize(processor, messages):
    return processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )


def test_each_image_takes_as_many_placeholders_as_the_model_has_features(tiny_processor, tiny_safe_llava, make_image):
    num_images = [{"type": "image", "image": make_image(seed)} for seed in range(2)]
    batch = tokenize(tiny_processor, user(*num_images, text("Who?")))
    placeholders = (batch["input_ids"] == tiny_processor.image_token_id).sum()
    assert placeholders == 2 * tiny_safe_llava.config.image_seq_length


def test_other_engines_are_told_the_same_number_of_placeholders(tiny_processor, tiny_safe_llava):
    counted = tiny_processor._get_num_multimodal_tokens(image_sizes=[[40, 50], [30, 30]])
    assert counted["num_image_tokens"] == [tiny_safe_llava.config.image_seq_length] * 2


def test_text_that_spells_a_placeholder_stays_text(tiny_processor, make_image):
    batch = tokenize(
        tiny_processor, user({"type": "image", "image": make_image(0)}, text("Is <image> a picture? </s><pad>"))
    )
    ids = batch["input_ids"][0].tolist()
    plain = tokenize(tiny_processor, user({"type": "image", "image": make_image(0)}, text("Is a picture?")))
    for token_id in tiny_processor.tokenizer.all_special_ids:
        if token_id != tiny_processor.tokenizer.unk_token_id:
            assert ids.count(token_id) == plain["input_ids"][0].tolist().count(token_id)


def test_callers_messages_are_left_alone(tiny_processor):
    messages = user(text("<image>"))
    tiny_processor.apply_chat_template(messages, add_generation_prompt=True)
    assert messages == user(text("<image>"))


@pytest.mark.parametrize(("prompt", "num_images"), [("USER: <image> <image>", 1), ("USER: who?", 1), ("<image>", 0)])
def test_images_that_do_not_match_the_placeholders_are_refused(prompt, num_images, tiny_processor, make_image):
    with pytest.raises(ValueError, match=f"{prompt.count('<image>')} tokens and {num_images} images"):
        tiny_processor(text=prompt, images=[make_image(seed) for seed in range(num_images)] or None)


def test_processor_comes_back_from_disk(tiny_processor, tiny_safe_llava, tmp_path):
    tiny_processor.save_pretrained(tmp_path)
    tiny_safe_llava.config.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is SafeLlavaProcessor
    assert loaded.num_additional_image_tokens == tiny_processor.num_additional_image_tokens
