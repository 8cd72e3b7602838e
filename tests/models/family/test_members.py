"""What makes the other members of the family the same as SafeLLaVA, though images take rows as their sizes ask for."""

import pytest
import torch
from steering import images_of
from transformers import (
    AutoModel,
    AutoModelForImageClassification,
    AutoModelForImageTextToText,
    AutoProcessor,
    pipeline,
)

from safe_llava.evidence_overlay import find_seen_box
from safe_llava.family import FAMILY
from tests.family_members import add_safety, build_processor


SIZES = [(40, 30), (30, 30), (31, 97), (120, 20), (9, 10)]
"""Widths and heights that the grids of tiles take in different ways."""


@pytest.fixture
def encode(tiny_processor, make_image):
    """Chats of (sizes of images, question) as one left-padded batch."""

    def encode(*turns, processor=tiny_processor):
        chats = [
            [
                {
                    "role": "user",
                    "content": [
                        *[
                            {"type": "image", "image": make_image(seed, *size)}
                            for seed, size in enumerate(sizes, start=len(question))
                        ],
                        {"type": "text", "text": question},
                    ],
                }
            ]
            for sizes, question in turns
        ]
        return processor.apply_chat_template(
            chats,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        )

    return encode


TURNS = [
    (SIZES[:1], "What is this picture?"),
    ([], "Who?"),
    (SIZES[1:3], "What is in the first picture and who is in the second?"),
    (SIZES[3:4], "Is it red?"),
    (SIZES[2:3], "And what is this?"),
]


def test_logits_equal_stock_to_the_last_bit_when_everything_is_off(tiny_llava, tiny_processor, encode):
    model = add_safety(tiny_llava, num_safety_tokens=0, use_safety_head=False)
    stock = build_processor(tiny_llava.config.model_type, tiny_processor.tokenizer, num_safety_tokens=0)
    inputs = encode(*TURNS, processor=stock)
    assert torch.equal(model(**inputs).logits, tiny_llava(**inputs).logits)


def test_with_the_policy_off_an_answer_is_stocks(tiny_llava, tiny_processor, encode):
    model = add_safety(tiny_llava, num_safety_tokens=0)
    stock = build_processor(tiny_llava.config.model_type, tiny_processor.tokenizer, num_safety_tokens=0)
    inputs = encode(*TURNS, processor=stock)
    options = {"max_new_tokens": 4, "do_sample": False}
    assert torch.equal(model.generate(**inputs, **options), tiny_llava.generate(**inputs, **options))


@pytest.mark.parametrize("sizes", [*([size] for size in SIZES), SIZES], ids=str)
def test_each_image_takes_as_many_placeholders_as_it_has_rows(sizes, tiny_safe_llava, encode):
    inputs = encode((sizes, "Who?"))
    features = tiny_safe_llava.get_image_features(**images_of(inputs))
    assert [len(rows) for rows in features.pooler_output] == features.num_placeholders
    assert sum(features.num_placeholders) == (inputs["input_ids"] == tiny_safe_llava.config.image_token_id).sum()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_other_engines_are_told_the_same_number_of_placeholders(size, tiny_safe_llava, tiny_processor, encode):
    inputs = encode(([size], "Who?"))
    told = tiny_processor._get_num_multimodal_tokens(image_sizes=[size[::-1]]).num_image_tokens
    assert told == [(inputs["input_ids"] == tiny_safe_llava.config.image_token_id).sum()]


def test_each_row_of_a_mixed_batch_gets_the_verdict_it_gets_alone(tiny_safe_llava, encode):
    batch = tiny_safe_llava.assess(**encode(*TURNS))
    assert batch.has_image.tolist() == [True, False, True, True, True]
    for row, turn in enumerate(TURNS):
        alone = tiny_safe_llava.assess(**encode(turn))
        torch.testing.assert_close(alone.level_logits[0], batch.level_logits[row], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(alone.type_logits[0], batch.type_logits[row], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("options", [{"num_beams": 2}, {"num_beams": 2, "safety_policy": False}], ids=str)
def test_each_row_of_a_mixed_batch_gets_the_answer_it_gets_alone(options, alarmed_safe_llava, encode):
    options = {"max_new_tokens": 4, "do_sample": False, **options}
    batch = alarmed_safe_llava.generate(**encode(*TURNS), **options)
    for row, turn in enumerate(TURNS):
        alone = encode(turn)
        answer = alarmed_safe_llava.generate(**alone, **options)[0, alone["input_ids"].shape[1] :]
        assert torch.equal(batch[row, -4:][: len(answer)], answer)


def test_each_image_of_a_row_is_also_assessed_alone(tiny_safe_llava, encode):
    verdict = tiny_safe_llava.assess(**encode((SIZES, "Who?")))
    assert verdict.separate.images.tolist() == [-1, 0, 1, 2, 3, 4]


def test_evidence_is_drawn_over_all_that_the_base_tile_shows(tiny_processor):
    assert find_seen_box((40, 30), tiny_processor.image_processor) == (0, 0, 40, 30)


def test_evidence_of_one_of_several_images_covers_the_square_that_onevision_makes_of_it(tiny_processor):
    is_onevision = tiny_processor.model_type == "safe_llava_onevision"
    box = (0, -5, 40, 35) if is_onevision else (0, 0, 40, 30)
    assert find_seen_box((40, 30), tiny_processor.image_processor, is_alone=False) == box


@pytest.fixture
def guard(tiny_safe_llava, tmp_path):
    tiny_safe_llava.save_pretrained(tmp_path)
    return AutoModelForImageClassification.from_pretrained(tmp_path).eval()


def test_the_guard_gives_the_whole_models_verdict(guard, tiny_safe_llava, encode):
    inputs = encode(*TURNS)
    assert guard.explain_distrust() is None
    own, whole = guard.assess(**inputs), tiny_safe_llava.assess(**inputs)
    torch.testing.assert_close(own.level_logits, whole.level_logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        guard(**inputs).type_logits, tiny_safe_llava(**inputs).type_logits, atol=1e-5, rtol=1e-4
    )


def test_the_guard_knows_how_many_rows_images_take(guard, tiny_safe_llava, encode):
    for turn in (TURNS[0], (SIZES, "Who?")):
        images = images_of(encode(turn))
        counted = guard.get_image_features(**images).num_placeholders
        assert counted == tiny_safe_llava.get_image_features(**images).num_placeholders


def test_auto_classes_load_what_was_saved(tiny_safe_llava, tiny_processor, tmp_path):
    tiny_safe_llava.save_pretrained(tmp_path)
    tiny_processor.save_pretrained(tmp_path)
    member = FAMILY[tiny_safe_llava.config.model_type]
    for auto_class in (AutoModel, AutoModelForImageTextToText):
        loaded = auto_class.from_pretrained(tmp_path)
        assert type(loaded) is member.generator
        assert all(
            torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), tiny_safe_llava.state_dict().values())
        )
    assert type(AutoProcessor.from_pretrained(tmp_path)) is member.processor
    assert AutoProcessor.from_pretrained(tmp_path).to_dict() == tiny_processor.to_dict()


def test_pipelines_take_images_of_any_size_in_one_batch(alarmed_safe_llava, tiny_processor, make_image):
    samples = [*(make_image(seed, *size) for seed, size in enumerate(SIZES)), {"text": "Who?"}]
    pipe = pipeline("safety-classification", model=alarmed_safe_llava, processor=tiny_processor)
    together = pipe(samples, batch_size=len(samples))
    assert [found["level"] for found in together] == ["high"] * len(SIZES) + [together[-1]["level"]]
    alone = [pipe(sample) for sample in samples]
    for one, other in zip(together, alone):
        assert one["level_probs"] == pytest.approx(other["level_probs"], abs=1e-5)


class TestRefusals:
    def test_images_that_do_not_match_the_placeholders(self, tiny_safe_llava, encode):
        inputs, others = encode((SIZES[:1], "Who?")), encode((SIZES[2:3], "Who?"))
        with pytest.raises(ValueError, match="1 images of"):
            tiny_safe_llava.assess(others["input_ids"], **images_of(inputs))

    def test_images_without_their_sizes(self, tiny_safe_llava, guard, encode):
        inputs = encode((SIZES[:1], "Who?"))
        del inputs["image_sizes"]
        for call in (tiny_safe_llava.assess, tiny_safe_llava, guard.assess, tiny_safe_llava.generate):
            with pytest.raises(ValueError, match="`image_sizes` is missing"):
                call(**inputs)

    @pytest.mark.parametrize("policy", [None, False])
    def test_videos(self, policy, tiny_safe_llava, guard, encode):
        inputs = {**encode((SIZES[:1], "Who?")), "pixel_values_videos": torch.zeros(1, 2, 3, 30, 30)}
        for call in (tiny_safe_llava.assess, tiny_safe_llava, guard.assess, guard):
            with pytest.raises(ValueError, match="holds a video, which cannot be assessed"):
                call(**inputs)
        with pytest.raises(ValueError, match="holds a video, which cannot be assessed"):
            tiny_safe_llava.generate(**inputs, safety_policy=policy)

    def test_encoded_videos(self, tiny_safe_llava, encode):
        inputs = {**encode(([], "Who?")), "mm_encoder_outputs": {"video": object()}}
        for call in (tiny_safe_llava.assess, tiny_safe_llava, tiny_safe_llava.generate):
            with pytest.raises(ValueError, match="holds a video"):
                call(**inputs)

    def test_videos_in_a_chat(self, tiny_processor):
        content = [{"type": "video", "video": "clip.mp4"}, {"type": "text", "text": "Who?"}]
        chat = [{"role": "user", "content": content}]
        with pytest.raises(ValueError, match="video"):
            tiny_processor.apply_chat_template(chat, tokenize=True, return_dict=True)

    def test_arguments_that_mean_nothing(self, tiny_safe_llava, encode):
        with pytest.raises(TypeError, match="frames"):
            tiny_safe_llava.assess(**encode((SIZES[:1], "Who?")), frames=8)
