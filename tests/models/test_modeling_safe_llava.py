import copy

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from safe_llava import SafeLlavaConfig, SafeLlavaForConditionalGeneration, SafeLlavaModel


@pytest.fixture
def tiny_safe_llava(tiny_safe_llava):
    """A copy to change."""
    return copy.deepcopy(tiny_safe_llava)


@pytest.fixture
def inputs(make_mixed_batch, tiny_processor):
    return make_mixed_batch(tiny_processor)


def row(inputs, index: int, images: slice) -> dict:
    """One row of a batch as it would be alone."""
    kept = inputs["attention_mask"][index].bool()
    alone = {name: inputs[name][index : index + 1, kept] for name in ("input_ids", "attention_mask")}
    pixel_values = inputs["pixel_values"][images]
    return {**alone, "pixel_values": pixel_values} if len(pixel_values) else alone


@pytest.mark.parametrize("auto_class", [AutoModel, AutoModelForImageTextToText, AutoModelForMultimodalLM])
def test_auto_class_loads_a_saved_model_that_can_generate(auto_class, tiny_safe_llava, tmp_path):
    tiny_safe_llava.save_pretrained(tmp_path)
    loaded = auto_class.from_pretrained(tmp_path)
    assert type(loaded) is SafeLlavaForConditionalGeneration
    for name, tensor in tiny_safe_llava.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name


def test_auto_model_builds_the_generating_class_from_a_config(tiny_safe_llava):
    assert type(AutoModel.from_config(tiny_safe_llava.config)) is SafeLlavaForConditionalGeneration


def test_logits_equal_stock_llava_to_the_last_bit_when_everything_is_off(tiny_safe_llava, inputs):
    values = tiny_safe_llava.config.to_dict()
    values.pop("model_type")
    config = SafeLlavaConfig(**{**values, "num_safety_tokens": 0, "use_safety_head": False})
    stock_config = LlavaConfig(
        **{name: value for name, value in values.items() if name in LlavaConfig.__dataclass_fields__}
    )
    model, stock = SafeLlavaForConditionalGeneration(config).eval(), LlavaForConditionalGeneration(stock_config).eval()
    stock.load_state_dict(model.state_dict())

    tokens_left_out = tiny_safe_llava.config.num_safety_tokens
    kept = [
        torch.cat([ids[ids != config.image_token_id], ids[ids == config.image_token_id][tokens_left_out:]])
        for ids in inputs["input_ids"][:1]
    ]
    batch = {"input_ids": torch.stack(kept), "pixel_values": inputs["pixel_values"][:1]}
    assert torch.equal(model(**batch).logits, stock(**batch).logits)


def test_loss_is_the_lm_loss_and_ten_times_both_classification_losses(tiny_safe_llava, inputs):
    labels = inputs["input_ids"].clone()
    labels[:, :-4] = -100
    output = tiny_safe_llava(
        **inputs, labels=labels, safety_level=torch.tensor([3, 0, 1]), safety_type=torch.tensor([4, 6, 1])
    )
    torch.testing.assert_close(output.safety_loss, output.level_loss + output.type_loss)
    torch.testing.assert_close(output.loss, output.lm_loss + 10 * output.safety_loss)
    expected = torch.nn.functional.cross_entropy(output.level_logits, torch.tensor([3, 0, 1]))
    torch.testing.assert_close(output.level_loss, expected)


def test_rows_without_a_safety_label_do_not_count_in_the_safety_loss(tiny_safe_llava, inputs):
    some = tiny_safe_llava(**inputs, safety_level=torch.tensor([3, -100, -100]), safety_type=torch.tensor([-100] * 3))
    expected = torch.nn.functional.cross_entropy(some.level_logits[:1], torch.tensor([3]))
    torch.testing.assert_close(some.level_loss, expected)
    assert some.type_loss == 0


def test_head_reads_nothing_of_the_answer(tiny_safe_llava, inputs):
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[:, -3:] = inputs["input_ids"][:, -3:]
    changed = {**inputs, "input_ids": inputs["input_ids"].clone()}
    changed["input_ids"][:, -3:] = 11
    first, second = (tiny_safe_llava(**batch, labels=labels) for batch in (inputs, changed))
    assert not torch.equal(first.logits, second.logits)
    assert torch.equal(first.level_logits, second.level_logits)


@pytest.mark.parametrize(("pooling", "reads_question"), [("question", True), ("first", False)])
def test_only_question_pooling_reads_the_question(pooling, reads_question, tiny_safe_llava, inputs):
    config = SafeLlavaConfig(**{**tiny_safe_llava.config.to_dict(), "safety_head_pooling": pooling})
    model = SafeLlavaForConditionalGeneration(config).eval()
    one = row(inputs, 0, slice(0, 1))
    other = {**one, "input_ids": one["input_ids"].clone()}
    other["input_ids"][:, -4] = 11
    is_same = torch.equal(model.assess(**one).level_logits, model.assess(**other).level_logits)
    assert is_same is not reads_question


def test_each_row_of_a_mixed_batch_gets_the_verdict_it_gets_alone(tiny_safe_llava, inputs):
    batch = tiny_safe_llava.assess(**inputs)
    assert batch.has_image.tolist() == [True, False, True]
    for index, images in enumerate((slice(0, 1), slice(0, 0), slice(1, 3))):
        alone = tiny_safe_llava.assess(**row(inputs, index, images))
        torch.testing.assert_close(alone.level_logits[0], batch.level_logits[index], atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(alone.type_logits[0], batch.type_logits[index], atol=1e-6, rtol=1e-4)


def test_assess_equals_forward_and_runs_no_language_model_layer(tiny_safe_llava, inputs):
    logits = tiny_safe_llava(**inputs).level_logits
    for layer in tiny_safe_llava.model.language_model.layers:
        layer.register_forward_hook(lambda *_: pytest.fail("a language-model layer ran"))
    verdict = tiny_safe_llava.assess(**inputs)
    torch.testing.assert_close(verdict.level_logits[:2], logits[:2])
    # Of a row with several images forward gives one of several assessments: the whole.
    torch.testing.assert_close(verdict.separate.level_logits[0], logits[2])


@pytest.mark.parametrize(
    "changes",
    [
        {"num_safety_tokens": 0},
        {"safety_projector_type": "mlp"},
        {"safety_head_pooling": "first"},
        {"vision_feature_layer": [-2, -1]},
        {"safety_feature_layer": [-2, -1]},
    ],
)
def test_each_safety_module_can_be_swapped_or_left_out(changes, tiny_safe_llava):
    config = SafeLlavaConfig(**{**tiny_safe_llava.config.to_dict(), **changes})
    model = SafeLlavaForConditionalGeneration(config).eval()
    input_ids = torch.full((1, config.image_seq_length + 5), 11)
    input_ids[0, 2 : 2 + config.image_seq_length] = config.image_token_id
    size = config.vision_config.image_size
    output = model(input_ids=input_ids, pixel_values=torch.randn(1, 3, size, size))
    assert output.level_logits.isfinite().all()


def test_model_without_a_head_cannot_assess(tiny_safe_llava, inputs):
    config = SafeLlavaConfig(**{**tiny_safe_llava.config.to_dict(), "use_safety_head": False})
    model = SafeLlavaForConditionalGeneration(config).eval()
    assert model(**inputs).level_logits is None
    with pytest.raises(ValueError, match="use_safety_head"):
        model.assess(**inputs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_judges_with_float32_logits(dtype, tiny_safe_llava, inputs):
    model = tiny_safe_llava.to(dtype)
    verdict = model.assess(**{**inputs, "pixel_values": inputs["pixel_values"].to(dtype)})
    assert verdict.level_logits.dtype == torch.float32
    assert verdict.trusted.all()


def test_images_that_do_not_match_the_placeholders_are_refused(tiny_safe_llava, inputs):
    with pytest.raises(ValueError, match="2 images"):
        tiny_safe_llava.assess(inputs["input_ids"], inputs["pixel_values"][:2])


def test_checkpoint_without_head_weights_fails_closed(tiny_safe_llava, inputs, tmp_path):
    state_dict = {
        name: value for name, value in tiny_safe_llava.state_dict().items() if "safety_modules.head" not in name
    }
    tiny_safe_llava.save_pretrained(tmp_path, state_dict=state_dict)
    model = SafeLlavaForConditionalGeneration.from_pretrained(tmp_path)
    assert set(model.assess(**inputs).levels) == {"high"}


def test_missing_safety_tokens_are_drawn_anew_and_not_left_uninitialised(tiny_safe_llava, tmp_path):
    state_dict = {
        name: value for name, value in tiny_safe_llava.state_dict().items() if "safety_modules.tokens" not in name
    }
    tiny_safe_llava.save_pretrained(tmp_path, state_dict=state_dict)
    tokens = SafeLlavaForConditionalGeneration.from_pretrained(tmp_path).model.safety_modules.tokens.head_tokens
    assert 0.01 < tokens.std() < 0.03


def test_gradient_checkpointing_gives_the_same_gradients(tiny_safe_llava, inputs):
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    labels[:, :-4] = -100
    targets = {"labels": labels, "safety_level": torch.tensor([3, 0, 1]), "safety_type": torch.tensor([4, 6, 1])}
    gradients = []
    for is_checkpointed in (False, True):
        tiny_safe_llava.train()
        if is_checkpointed:
            tiny_safe_llava.gradient_checkpointing_enable({"use_reentrant": False})
        tiny_safe_llava.zero_grad()
        tiny_safe_llava(**inputs, **targets).loss.backward()
        gradients.append({name: p.grad for name, p in tiny_safe_llava.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], msg=name)


def test_inner_model_returns_safety_logits_without_a_language_model_head(tiny_safe_llava, inputs):
    assert isinstance(tiny_safe_llava.model, SafeLlavaModel)
    output = tiny_safe_llava.model(**inputs)
    assert output.level_logits.shape == (3, 4)
    assert output.type_logits.shape == (3, 7)


@pytest.mark.parametrize("part", ["vision_tower", "safety_modules"])
@pytest.mark.parametrize("trains", [True, False])
def test_a_part_is_in_training_mode_only_where_it_trains(tiny_safe_llava, part, trains):
    tiny_safe_llava.get_submodule(f"model.{part}").requires_grad_(trains)
    tiny_safe_llava.train()
    assert tiny_safe_llava.get_submodule(f"model.{part}").training is trains
