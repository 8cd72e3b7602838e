"""The guard: the verdicts of the full model from a part of the same checkpoint."""

import copy

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoModel, AutoModelForImageClassification, GemmaConfig
from transformers import modeling_utils as transformers_modeling

from safe_llava import (
    SAFETY_TYPES,
    SafeLlavaConfig,
    SafeLlavaForConditionalGeneration,
    SafeLlavaForSafetyClassification,
    SafetyPolicy,
)


NEEDED = ("vision_tower", "embed_tokens", "safety_")


@pytest.fixture(params=["left", "right"])
def inputs(request, make_mixed_batch, tiny_processor):
    """Padded on either side."""
    processor = copy.deepcopy(tiny_processor)
    processor.tokenizer.padding_side = request.param
    return make_mixed_batch(processor)


@pytest.fixture
def left_padded(tiny_processor, make_image):
    image = {"type": "image", "image": make_image(0)}
    chats = [
        [{"role": "user", "content": [*images, {"type": "text", "text": "Who is this?"}]}] for images in ([image], [])
    ]
    return tiny_processor.apply_chat_template(
        chats, tokenize=True, return_dict=True, return_tensors="pt", processor_kwargs={"padding": True}
    )


@pytest.fixture(scope="module")
def checkpoint(tiny_safe_llava, tmp_path_factory):
    """The full model in several shards."""
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_safe_llava.save_pretrained(folder, max_shard_size="50KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    return folder


@pytest.fixture(scope="module")
def guard(checkpoint) -> SafeLlavaForSafetyClassification:
    return SafeLlavaForSafetyClassification.from_pretrained(checkpoint)


@pytest.fixture
def read_tensors(monkeypatch) -> list[str]:
    """The names of the tensors whose data is read from disk."""
    names: list[str] = []

    class CountingSlice:
        def __init__(self, name, inner):
            self.name, self.inner = name, inner

        def __getattr__(self, attribute):
            return getattr(self.inner, attribute)

        def __getitem__(self, index):
            names.append(self.name)
            return self.inner[index]

    class CountingFile:
        def __init__(self, *args, **kwargs):
            self.inner = safe_open(*args, **kwargs)

        def __enter__(self):
            return self

        def __exit__(self, *args):
            return self.inner.__exit__(*args)

        def keys(self):
            return self.inner.keys()

        def metadata(self):
            return self.inner.metadata()

        def get_slice(self, name):
            return CountingSlice(name, self.inner.get_slice(name))

        def get_tensor(self, name):
            names.append(name)
            return self.inner.get_tensor(name)

    monkeypatch.setattr(transformers_modeling, "safe_open", CountingFile)
    return names


def rebuild(model, tmp_path, **changes) -> tuple[SafeLlavaForConditionalGeneration, SafeLlavaForSafetyClassification]:
    """A full model of a changed configuration with random weights, and its guard."""
    config = SafeLlavaConfig(**{**model.config.to_dict(), **changes})
    full = SafeLlavaForConditionalGeneration(config).eval()
    full.save_pretrained(tmp_path)
    return full, SafeLlavaForSafetyClassification.from_pretrained(tmp_path)


def assert_same_logits(full, guard, inputs):
    with torch.no_grad():
        first, second = full(**inputs), guard(**inputs)
    for name in ("level_logits", "type_logits"):
        torch.testing.assert_close(first[name], second[name], atol=1e-5, rtol=1e-5)


class TestSameVerdict:
    @pytest.mark.parametrize("pooling", ["question", "first"])
    @pytest.mark.parametrize("projector", ["c_abstractor", "mlp"])
    def test_logits_are_those_of_the_full_model(self, pooling, projector, tiny_safe_llava, inputs, tmp_path):
        changes = {"safety_head_pooling": pooling, "safety_projector_type": projector}
        assert_same_logits(*rebuild(tiny_safe_llava, tmp_path, **changes), inputs)

    @pytest.mark.parametrize("layer", [-1, -3, 1, [-2, -3], [-2, -1]])
    def test_any_vision_layer_can_be_read(self, layer, tiny_safe_llava, left_padded, tmp_path):
        assert_same_logits(*rebuild(tiny_safe_llava, tmp_path, safety_feature_layer=layer), left_padded)

    def test_embeddings_that_the_language_model_scales_are_scaled_here_too(
        self, tiny_safe_llava, left_padded, tmp_path
    ):
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        text_config = GemmaConfig(
            **sizes, num_key_value_heads=2, head_dim=8, vocab_size=tiny_safe_llava.config.text_config.vocab_size
        )
        assert_same_logits(*rebuild(tiny_safe_llava, tmp_path, text_config=text_config.to_dict()), left_padded)

    def test_assess_gives_the_full_models_verdict_and_evidence(
        self, tiny_safe_llava, guard, inputs, assert_same_verdict
    ):
        first, second = (model.assess(**inputs, return_evidence=True) for model in (tiny_safe_llava, guard))
        for one, other in zip(first.to_list(), second.to_list()):
            assert_same_verdict(one, other)
        torch.testing.assert_close(first.evidence.word_relevance, second.evidence.word_relevance, atol=1e-4, rtol=0)

    def test_policy_temperature_is_in_the_verdict(self, guard, left_padded):
        policy = {"temperature": {"level": 2.0}}
        plain, cooled = guard.assess(**left_padded), guard.assess(**left_padded, safety_policy=policy)
        torch.testing.assert_close(cooled.level_logits, plain.level_logits / 2)

    def test_policy_decides_as_in_the_full_model(self, alarmed_safe_llava, left_padded, tmp_path):
        alarmed_safe_llava.save_pretrained(tmp_path)
        guard = SafeLlavaForSafetyClassification.from_pretrained(tmp_path)
        policy = SafetyPolicy.from_dict({"actions": {"high": "refuse"}, "types": {"privacy": {"threshold": 0.01}}})
        verdict = guard.assess(**left_padded, safety_policy=policy)
        assert [decision.action for decision in guard.decide(verdict, policy)] == ["refuse", "answer"]

    def test_features_can_be_handed_in_place_of_images(self, guard, inputs):
        features = guard.get_image_features(inputs["pixel_values"])
        prompt = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        handed = guard.assess(**prompt, mm_encoder_outputs={"image": features})
        assert torch.equal(handed.type_logits, guard.assess(**inputs).type_logits)

    def test_loss_is_the_full_models_safety_loss_and_trains_the_head(self, tiny_safe_llava, guard, inputs):
        guard = copy.deepcopy(guard)
        labels = {"safety_level": torch.tensor([3, -100, 1]), "safety_type": torch.tensor([4, 6, 1])}
        loss = guard(**inputs, **labels).loss
        torch.testing.assert_close(loss, tiny_safe_llava(**inputs, **labels).safety_loss, atol=1e-5, rtol=0)
        loss.backward()
        assert guard.model.safety_modules.head.key_layer.weight.grad.abs().sum() > 0


class TestCheckpoint:
    def test_only_needed_tensors_are_read(self, checkpoint, guard, read_tensors):
        SafeLlavaForSafetyClassification.from_pretrained(checkpoint)
        assert len(read_tensors) == len(set(read_tensors)) == len(guard.state_dict())
        assert all(any(part in name for part in NEEDED) for name in read_tensors)

    def test_older_key_layouts_load(self, tiny_safe_llava, guard, left_padded, tmp_path):
        tiny_safe_llava.save_pretrained(tmp_path)
        older = {}
        for name, tensor in tiny_safe_llava.state_dict().items():
            name = name.removeprefix("model.").replace("language_model.", "language_model.model.")
            older[name.replace("lm_head", "language_model.lm_head")] = tensor
        save_file(older, tmp_path / "model.safetensors", metadata={"format": "pt"})
        loaded = SafeLlavaForSafetyClassification.from_pretrained(tmp_path)
        assert loaded.explain_distrust() is None
        assert_same_logits(guard, loaded, left_padded)

    def test_every_weight_has_the_name_and_value_it_has_in_the_full_model(self, tiny_safe_llava, guard):
        full = tiny_safe_llava.state_dict()
        for name, tensor in guard.state_dict().items():
            assert torch.equal(tensor, full[name]), name

    @pytest.mark.parametrize("auto_class", [AutoModel, AutoModelForImageClassification])
    def test_saves_as_a_small_checkpoint_that_auto_classes_load(
        self, auto_class, checkpoint, guard, left_padded, tmp_path
    ):
        guard.save_pretrained(tmp_path)
        loaded, info = auto_class.from_pretrained(tmp_path, output_loading_info=True)
        assert type(loaded) is SafeLlavaForSafetyClassification
        assert not any(info.values())
        assert_same_logits(guard, loaded, left_padded)

    def test_auto_class_for_classification_takes_a_full_checkpoint(self, checkpoint):
        assert type(AutoModelForImageClassification.from_pretrained(checkpoint)) is SafeLlavaForSafetyClassification

    def test_saving_a_guard_leaves_full_models_of_the_same_config_as_they_were(self, tiny_safe_llava, tmp_path):
        full = copy.deepcopy(tiny_safe_llava)
        SafeLlavaForSafetyClassification(full.config).save_pretrained(tmp_path / "guard")
        full.save_pretrained(tmp_path / "full")
        assert type(AutoModel.from_pretrained(tmp_path / "full")) is SafeLlavaForConditionalGeneration

    def test_labels_are_the_seven_types(self, guard):
        assert guard.config.num_labels == 7
        assert list(guard.config.id2label.values()) == list(SAFETY_TYPES)
        assert guard.config.label2id["privacy"] == SAFETY_TYPES.index("privacy")

    @pytest.mark.parametrize(("layers", "width", "inner"), [(32, 4096, 11008), (40, 5120, 13824)])
    def test_guard_of_a_7b_or_13b_has_less_than_a_tenth_of_the_weights(self, layers, width, inner):
        config = SafeLlavaConfig(
            vision_config={
                "model_type": "clip_vision_model",
                "hidden_size": 1024,
                "intermediate_size": 4096,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "image_size": 336,
                "patch_size": 14,
            },
            text_config={
                "model_type": "llama",
                "vocab_size": 32064,
                "hidden_size": width,
                "intermediate_size": inner,
                "num_hidden_layers": layers,
                "num_attention_heads": layers,
            },
        )
        with torch.device("meta"):
            guard, full = SafeLlavaForSafetyClassification(config), SafeLlavaForConditionalGeneration(config)
        assert guard.num_parameters() < 0.1 * full.num_parameters()


class TestFailingClosed:
    @pytest.mark.parametrize("part", ["safety_modules.head", "vision_tower", "embed_tokens"])
    def test_a_checkpoint_without_a_weight_that_is_read_is_not_trusted(
        self, part, tiny_safe_llava, left_padded, tmp_path
    ):
        weights = {name: tensor for name, tensor in tiny_safe_llava.state_dict().items() if part not in name}
        tiny_safe_llava.save_pretrained(tmp_path, state_dict=weights)
        guard = SafeLlavaForSafetyClassification.from_pretrained(tmp_path)
        assert not guard.assess(**left_padded).trusted.any()

    def test_untrained_safety_modules_are_not_trusted(self, guard, left_padded):
        guard = copy.deepcopy(guard)
        guard.config.safety_training = None
        assert set(guard.assess(**left_padded).levels) == {"high"}

    def test_a_broken_image_spoils_its_own_row_only(self, guard, inputs):
        inputs["pixel_values"][2] = torch.nan
        verdict = guard.assess(**inputs)
        assert verdict.trusted.tolist() == [True, True, False]

    def test_a_image_without_a_prompt_is_refused(self, guard, left_padded):
        with pytest.raises(ValueError, match="safety-classification"):
            guard(pixel_values=left_padded["pixel_values"])

    def test_images_that_do_not_match_the_placeholders_are_refused(self, guard, inputs):
        with pytest.raises(ValueError, match="2 images"):
            guard(inputs["input_ids"], inputs["pixel_values"][:2])

    def test_a_model_without_a_head_has_no_guard(self, tiny_safe_llava):
        config = SafeLlavaConfig(**{**tiny_safe_llava.config.to_dict(), "use_safety_head": False})
        with pytest.raises(ValueError, match="use_safety_head"):
            SafeLlavaForSafetyClassification(config)


class TestWork:
    def test_the_vision_tower_stops_at_the_last_layer_that_is_read(self, tiny_safe_llava, guard):
        layers = [len(model.model.vision_tower.encoder.layers) for model in (tiny_safe_llava, guard)]
        assert layers == [3, 2]

    def test_there_is_no_layer_of_the_language_model_and_no_projector(self, guard):
        assert [name for name in guard.state_dict() if not any(part in name for part in NEEDED)] == []
        assert list(guard.model.language_model.state_dict()) == ["embed_tokens.weight"]
