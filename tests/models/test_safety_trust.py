"""What makes a verdict one that can be trusted; damaged checkpoints have a file of their own."""

import copy

import pytest
import torch
from transformers import pipeline

from safe_llava import SafeLlavaForConditionalGeneration, SafetyPolicy
from safe_llava.models.image_processor_check import describe_image_processor
from safe_llava.models.safety_trust import TOLERANCE, find_distrust, record_training
from safe_llava.models.safety_verdict import SafetyVerdict


@pytest.fixture
def model(tiny_safe_llava, tiny_processor) -> SafeLlavaForConditionalGeneration:
    model = copy.deepcopy(tiny_safe_llava)
    record_training(model, image_processor=describe_image_processor(tiny_processor))
    model._has_looked_at_pixels = False
    return model


@pytest.fixture
def verdict_of():
    """A verdict of one row, from a model that is trusted."""

    def build(level_logits: list[float], type_logits: list[float] | None = None) -> SafetyVerdict:
        types = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0] if type_logits is None else type_logits
        true = torch.tensor([True])
        return SafetyVerdict(torch.tensor([level_logits]), torch.tensor([types]), true, true)

    return build


def test_logits_that_say_something_are_trusted(verdict_of):
    assert verdict_of([4.0, 1.0, 1.0, 0.0]).trusted.all()
    assert verdict_of([0.011, 0.01, 0.01, 0.01]).trusted.all()


@pytest.mark.parametrize(
    "level_logits",
    [
        [0.0] * 4,
        [1e-4, 0.0, 0.0, 0.0],
        [4.0, 0.0, 0.0, 4.0],
        [0.0, 3.0, 3.0, 0.0],
        [9.0, torch.nan, 0.0, 0.0],
        [torch.inf, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, -torch.inf],
    ],
)
def test_level_logits_that_tie_or_are_flat_are_never_trusted(level_logits, verdict_of):
    verdict = verdict_of(level_logits)
    assert not verdict.trusted.any()
    assert verdict.levels == ["high"]


def test_type_logits_that_are_flat_are_never_trusted(verdict_of):
    assert not verdict_of([4.0, 1.0, 1.0, 0.0], [0.5] * 7).trusted.any()


def test_what_a_temperature_flattens_is_not_trusted(verdict_of):
    verdict = verdict_of([4.0, 1.0, 1.0, 0.0])
    assert verdict.with_temperature(level=100.0).trusted.all()
    flattened = SafetyVerdict(verdict.level_logits / 1e8, verdict.type_logits, verdict.has_image, verdict.trusted)
    assert not flattened.trusted.any()


def test_a_model_from_a_config_is_not_trusted(tiny_safe_llava, inputs):
    assert not SafeLlavaForConditionalGeneration(tiny_safe_llava.config).assess(**inputs).trusted.any()


def test_the_reason_is_told_once(model, inputs, caplog):
    model.config.safety_training = None
    for _ in range(3):
        model.assess(**inputs)
    assert [record.message.count("no record of a finished training") for record in caplog.records] == [1]


@pytest.mark.parametrize("part", ["vision_tower", "safety_modules", "language_model.embed_tokens"])
def test_a_change_in_place_ends_the_trust(part, model, inputs):
    assert model.assess(**inputs).trusted.all()
    with torch.no_grad():
        next(model.model.get_submodule(part).parameters()).add_(0.5)
    assert not model.assess(**inputs).trusted.any()


def test_weights_that_come_back_are_trusted_again(model, inputs):
    kept = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        model.model.safety_modules.head.level_classifier.weight.zero_()
    assert not model.assess(**inputs).trusted.any()
    model.load_state_dict(kept)
    assert model.assess(**inputs).trusted.all()


def drop_out(model, share: float) -> None:
    """Every dropout of the model, also those that its attention calls without a module."""
    for module in model.modules():
        for name, value in vars(module).items():
            if name == "p" or ("dropout" in name and isinstance(value, float)):
                setattr(module, name, share)


@pytest.mark.parametrize("part", ["vision_tower", "safety_modules"])
def test_a_model_that_was_recorded_while_it_trained_is_trusted_afterwards(part, model, inputs):
    drop_out(model.model.get_submodule(part), 0.5)
    record_training(model.train())
    assert model.training and all(module.training for module in model.model.get_submodule(part).modules())
    assert model.eval().assess(**inputs).trusted.all()


@pytest.mark.parametrize("layer", [0, 1, -1, [-1], [-2, -1]])
def test_a_head_that_is_shown_another_layer_is_not_trusted(layer, model, inputs):
    """An early exit of the vision tower, on a model that has been loaded and trusted."""
    assert model.assess(**inputs).trusted.all()
    trained = model.config.safety_feature_layer
    model.config.safety_feature_layer = layer
    try:
        assert model.explain_distrust() is not None
    finally:
        model.config.safety_feature_layer = trained
    assert model.assess(**inputs).trusted.all()


@pytest.mark.parametrize("way", ["config", "argument"])
@pytest.mark.parametrize("layer", [0, 1, -1])
def test_what_the_language_model_reads_does_not_move_what_the_head_reads(layer, way, model, inputs):
    verdict = model.assess(**inputs)
    moved, argument = copy.deepcopy(model), {}
    if way == "config":
        moved.config.vision_feature_layer = layer
    else:
        argument = {"vision_feature_layer": layer}
    features = moved.get_image_features(inputs["pixel_values"], **argument)
    found = moved.assess(inputs["input_ids"], None, inputs["attention_mask"], {"image": features})
    assert found.trusted.all()
    torch.testing.assert_close(found.type_logits, verdict.type_logits)
    rows = model.get_image_features(inputs["pixel_values"]).pooler_output
    assert not torch.allclose(features.pooler_output[0], rows[0])


def test_the_answers_to_the_probes_tell_what_a_digest_cannot(model):
    model.model.safety_modules.head.num_heads, model.model.safety_modules.head.head_dim = 2, 16
    assert f"at most {TOLERANCE}" in find_distrust(model)


def test_evidence_is_looked_for_again_only_when_weights_have_changed(model, inputs, monkeypatch):
    model.assess(**inputs)
    monkeypatch.setattr("safe_llava.models.safety_assessment.find_distrust", lambda model: pytest.fail("again"))
    assert model.assess(**inputs).trusted.all()


def test_verdicts_under_inference_mode_are_trusted_too(model, inputs):
    with torch.inference_mode():
        assert model.assess(**inputs).trusted.all()
        assert copy.deepcopy(model).assess(**inputs).trusted.all()


CHANGES = {
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [1.0, 1.0, 1.0],
    "do_normalize": False,
    "do_rescale": False,
    "rescale_factor": 1.0,
    "size": {"shortest_edge": 60},
    "crop_size": {"height": 24, "width": 24},
    "do_center_crop": False,
    "resample": 0,
}


@pytest.fixture(params=CHANGES)
def other_processor(request, tiny_processor):
    processor = copy.deepcopy(tiny_processor)
    setattr(processor.image_processor, request.param, CHANGES[request.param])
    return processor


def test_a_processor_that_shapes_images_otherwise_is_refused_by_name(model, other_processor):
    with pytest.raises(ValueError, match="image processor is not the one"):
        model.set_safety_policy(SafetyPolicy(), other_processor)


@pytest.mark.parametrize("task", ["safety-classification", "image-text-to-text"])
def test_a_pipeline_refuses_it_before_the_first_image(task, model, other_processor, tmp_path):
    model.save_pretrained(tmp_path)
    other_processor.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="image processor is not the one"):
        pipeline(task, model=str(tmp_path), device="cpu")


def test_the_processor_of_the_training_is_taken_after_it_was_saved_too(model, tiny_processor, tmp_path):
    tiny_processor.save_pretrained(tmp_path)
    model.check_ready(type(tiny_processor).from_pretrained(tmp_path))


@pytest.mark.parametrize("change", ["do_normalize", "image_mean", "image_std", "do_rescale"])
def test_pixels_of_another_normalisation_are_warned_of_once(change, model, tiny_processor, make_image, caplog):
    processor = copy.deepcopy(tiny_processor)
    setattr(processor.image_processor, change, CHANGES[change])
    inputs = processor(text="USER: <image>\nWho? ASSISTANT:", images=make_image(0), return_tensors="pt")
    for _ in range(2):
        model.assess(**inputs)
    assert len([record for record in caplog.records if "pixel_values" in record.message]) == 1


def test_pixels_of_the_own_processor_raise_no_warning(model, tiny_processor, make_image, caplog):
    for seed in range(3):
        inputs = tiny_processor(text="USER: <image>\nWho? ASSISTANT:", images=make_image(seed), return_tensors="pt")
        model._has_looked_at_pixels = False
        model.assess(**inputs)
    assert not caplog.records
