"""Why a row was flagged, as data: relevance is what the verdict loses when a patch or a word is left out."""

import copy

import pytest
import torch

from safe_llava import SafeLlavaForConditionalGeneration
from safe_llava.models.safety_evidence import SafetyInfluence, locate_evidence, map_relevance, measure_influence
from safe_llava.models.safety_labels import SAFE_TYPE_ID
from safe_llava.models.safety_trust import record_training


TRUSTED = torch.tensor([True])


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(params=["question", "first"])
def model(request, tiny_safe_llava) -> SafeLlavaForConditionalGeneration:
    """`tiny_safe_llava` with a wider spread of logits, in both kinds of pooling."""
    model = copy.deepcopy(tiny_safe_llava)
    for layer in (model.model.safety_modules.head.key_layer, model.model.safety_modules.head.query_layer):
        layer.weight *= 2.0
    model.model.safety_modules.head.pooling = request.param
    record_training(model)
    return model


@pytest.fixture
def inputs(make_mixed_batch, tiny_processor):
    return make_mixed_batch(tiny_processor)


def text_mask(model, inputs) -> torch.Tensor:
    return inputs["attention_mask"].bool() & (inputs["input_ids"] != model.config.image_token_id)


def head_inputs(num_text: int = 5, num_tokens: int = 4, num_features: int = 9) -> list[torch.Tensor]:
    """Arguments of the head for one row with one picture."""
    generator = torch.Generator().manual_seed(3)
    text, tokens, features = (
        torch.randn(size, 32, generator=generator) for size in (num_text, num_tokens, num_features)
    )
    mask, rows = torch.ones(1, num_text, dtype=torch.bool), torch.zeros(1, dtype=torch.long)
    return [text[None], mask, tokens, features[None], rows]


def measure(head, arguments) -> tuple[torch.Tensor, SafetyInfluence]:
    _, type_logits = head(*arguments)
    return type_logits, measure_influence(head, *arguments, type_logits)


def lead(logits: torch.Tensor, risk_type: torch.Tensor) -> torch.Tensor:
    return logits[0, risk_type[0]] - logits[0, SAFE_TYPE_ID]


def test_default_verdict_is_the_same_to_the_last_bit_and_has_no_evidence(model, inputs):
    plain, explained = model.assess(**inputs), model.assess(**inputs, return_evidence=True)
    assert torch.equal(plain.level_logits, explained.level_logits)
    assert torch.equal(plain.type_logits, explained.type_logits)
    assert plain.evidence is None


def test_evidence_takes_one_pass_of_tower_and_projector_and_no_language_model_layer(model, inputs):
    assert model.explain_distrust() is None  # The first verdict would look into it.
    calls = []
    for module in (model.model.vision_tower, model.model.safety_modules.projector, model.model.language_model):
        module.register_forward_hook(lambda module, *_: calls.append(type(module).__name__))
    model.assess(**inputs, return_evidence=True)
    assert calls == ["CLIPVisionModel", "CAbstractor"]


def test_each_row_has_a_map_for_each_of_its_images_on_the_patch_grid(model, inputs):
    evidence = model.assess(**inputs, return_evidence=True).evidence
    assert [tuple(maps.shape) for maps in evidence.patch_relevance] == [(1, 5, 5), (0, 5, 5), (2, 5, 5)]
    assert evidence.word_relevance.shape == inputs["input_ids"].shape
    assert all((maps >= 0).all() for maps in evidence.patch_relevance)


def test_words_count_where_text_stands_only(model, inputs):
    relevance = model.assess(**inputs, return_evidence=True).evidence.word_relevance
    assert (relevance[~text_mask(model, inputs)] == 0).all()


def test_with_first_pooling_only_the_first_word_can_count(model, inputs):
    model.model.safety_modules.head.pooling = "first"
    relevance = model.assess(**inputs, return_evidence=True).evidence.word_relevance
    first = text_mask(model, inputs).int().argmax(dim=1)
    assert (relevance.scatter(1, first[:, None], 0.0) == 0).all()


def test_a_row_of_a_batch_has_the_evidence_it_has_alone(model, inputs):
    batch = model.assess(**inputs, return_evidence=True).evidence
    kept = inputs["attention_mask"][2].bool()
    row = {"input_ids": inputs["input_ids"][2:, kept], "pixel_values": inputs["pixel_values"][1:]}
    alone = model.assess(**row, return_evidence=True).evidence
    assert torch.allclose(alone.patch_relevance[0], batch.patch_relevance[2], atol=1e-4)
    assert torch.allclose(alone.word_relevance[0], batch.word_relevance[2, kept], atol=1e-4)


def test_a_visual_tokens_influence_is_what_the_lead_loses_without_it(model):
    head, arguments = model.model.safety_modules.head, head_inputs()
    logits, influence = measure(head, arguments)
    for token in range(9):
        others = [index for index in range(9) if index != token]
        _, without = head(*arguments[:3], arguments[3][:, others], arguments[4])
        lost = lead(logits, influence.risk_type) - lead(without, influence.risk_type)
        assert influence.of_images[0, token] == pytest.approx(lost.item(), abs=1e-4)


def test_a_words_influence_is_what_the_lead_loses_without_it(model):
    head, arguments = model.model.safety_modules.head, head_inputs()
    head.pooling = "question"
    logits, influence = measure(head, arguments)
    for word in range(5):
        mask = arguments[1].clone()
        mask[0, word] = False
        _, without = head(arguments[0], mask, *arguments[2:])
        lost = lead(logits, influence.risk_type) - lead(without, influence.risk_type)
        assert influence.of_text[0, word] == pytest.approx(lost.item(), abs=1e-4)


def test_the_lead_is_the_risk_types_logit_over_that_of_safe(model):
    logits, influence = measure(model.model.safety_modules.head, head_inputs())
    assert influence.risk_type.item() == logits[0, :SAFE_TYPE_ID].argmax()
    assert influence.lead[0] == lead(logits, influence.risk_type)


def test_safety_token_attention_is_a_share(model, inputs):
    share = model.assess(**inputs, return_evidence=True).evidence.safety_token_attention
    assert ((share > 0) & (share <= 1 + 1e-5)).all()
    assert share[1] == pytest.approx(1.0)  # Without a picture there is nothing else to read.


def test_a_head_with_one_thing_to_read_gives_finite_evidence(model):
    arguments = head_inputs(num_text=1, num_tokens=0, num_features=1)
    _, influence = measure(model.model.safety_modules.head, arguments)
    assert influence.of_images.isfinite().all() and influence.of_text.isfinite().all()


def test_half_precision_finds_nearly_the_same(model):
    head, arguments = model.model.safety_modules.head, head_inputs()
    _, exact = measure(head, arguments)
    half = [value.bfloat16() if value.is_floating_point() else value for value in arguments]
    _, rounded = measure(head.bfloat16(), half)
    assert torch.allclose(rounded.of_images, exact.of_images, atol=0.05 * exact.of_images.abs().max().item())


def test_maps_are_stretched_to_the_patches_and_keep_their_sums():
    influence = SafetyInfluence(
        risk_type=torch.tensor([0]),
        lead=torch.tensor([1.0]),
        of_safety_tokens=torch.tensor([[9.0]]),
        of_images=torch.tensor([[1.0, 0.0, 0.0, -2.0]]),
        of_text=torch.tensor([[0.5, -0.5]]),
        safety_token_attention=torch.tensor([0.2]),
    )
    maps = map_relevance(influence.of_images, (2, 2), (4, 6))
    evidence = locate_evidence(influence, maps, torch.tensor([0]), TRUSTED)
    (heat,) = evidence.patch_relevance[0]
    assert heat.shape == (4, 6)
    assert heat.sum() == pytest.approx(1.0)
    assert heat.argmax() == 0 and heat[-1, -1] == 0
    assert evidence.word_relevance.tolist() == [[0.5, 0.0]]


def test_tokens_that_are_patches_keep_their_values():
    values = torch.arange(6.0)
    assert torch.equal(map_relevance(values[None], (2, 3), (2, 3)), values.view(1, 2, 3))


def test_mlp_projector_and_missing_safety_tokens_are_explained_too(tiny_safe_llava, inputs):
    config = copy.deepcopy(tiny_safe_llava.config)
    config.safety_projector_type, config.num_safety_tokens = "mlp", 0
    model = SafeLlavaForConditionalGeneration(config).eval()
    record_training(model)
    pixel_values, text = inputs["pixel_values"][:1], inputs["input_ids"][1][inputs["attention_mask"][1].bool()]
    prompt = torch.cat([text, torch.full((25,), config.image_token_id)])[None]
    evidence = model.assess(prompt, pixel_values, return_evidence=True).evidence
    assert evidence.patch_relevance[0].shape == (1, 5, 5)
    assert evidence.patch_relevance[0].sum() > 0
    assert evidence.safety_token_attention.tolist() == [0.0]


def test_an_untrusted_verdict_claims_no_evidence(tiny_safe_llava, inputs):
    model = copy.deepcopy(tiny_safe_llava)
    model.config.safety_training = None
    evidence = model.assess(**inputs, return_evidence=True).evidence
    assert not any(maps.any() for maps in evidence.patch_relevance)
    assert not evidence.word_relevance.any() and not evidence.lead.any()


def test_a_verdict_of_nan_claims_no_evidence(tiny_safe_llava, inputs):
    inputs["pixel_values"][:] = torch.nan
    evidence = tiny_safe_llava.assess(**inputs, return_evidence=True).evidence
    assert not any(maps.any() for maps in evidence.patch_relevance)
    with_images = [0, 2]
    assert not evidence.word_relevance[with_images].any()
    assert not evidence.safety_token_attention[with_images].any()
