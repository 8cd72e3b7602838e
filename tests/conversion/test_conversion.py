"""Conversion: whatever layout or backbones come in, each stock weight comes out bit for bit, or nothing does."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from stock_checkpoints import LAYOUTS, SIZES, save_llava
from transformers import (
    AutoProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    MistralConfig,
    Qwen2Config,
    SiglipVisionConfig,
)
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from safe_llava import SafeLlavaConfig, SafeLlavaForConditionalGeneration, SafeLlavaProcessor, SafetyPolicy
from safe_llava.conversion import convert_llava_checkpoint
from safe_llava.models.safety_trust import record_training


def assert_stock_weights_kept(model: torch.nn.Module, stock: torch.nn.Module) -> None:
    weights = model.state_dict()
    for key, value in stock.state_dict().items():
        assert weights[key].dtype == value.dtype, key
        assert torch.equal(weights[key], value), key
    assert all(key.startswith("model.safety_modules.") for key in weights.keys() - stock.state_dict().keys())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_stock_weight_of_each_key_layout_is_kept_bit_for_bit(tiny_llava, tiny_llava_processor, tmp_path, layout):
    source = save_llava(tiny_llava, tiny_llava_processor, tmp_path / "source", layout)
    output = convert_llava_checkpoint(source, tmp_path / "output", **SIZES)
    model, info = SafeLlavaForConditionalGeneration.from_pretrained(output, output_loading_info=True)
    assert not any(info.values())
    assert_stock_weights_kept(model, tiny_llava)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("text_config", "siglip"),
    [(MistralConfig, False), (Qwen2Config, True), (LlamaConfig, True)],
    ids=["mistral-clip", "qwen2-siglip", "llama-siglip"],
)
def test_other_text_models_and_towers_convert_too(tiny_llava_processor, tmp_path, text_config, siglip, layout):
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision_config = (SiglipVisionConfig if siglip else CLIPVisionConfig)(image_size=30, patch_size=6, **tower)
    tokenizer = tiny_llava_processor.tokenizer
    llava = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=vision_config,
            text_config=text_config(vocab_size=len(tokenizer), num_key_value_heads=2, **tower),
            image_token_id=tokenizer.image_token_id,
            vision_feature_select_strategy="full" if siglip else "default",
        )
    )
    processor = LlavaProcessor(
        image_processor=SiglipImageProcessorPil(size={"height": 30, "width": 30})
        if siglip
        else tiny_llava_processor.image_processor,
        tokenizer=tokenizer,
        patch_size=6,
        vision_feature_select_strategy=llava.config.vision_feature_select_strategy,
        chat_template=tiny_llava_processor.chat_template,
        num_additional_image_tokens=0 if siglip else 1,
    )
    source = save_llava(llava, processor, tmp_path / "source", layout)
    output = convert_llava_checkpoint(source, tmp_path / "output", **(SIZES | {"safety_head_num_attention_heads": 2}))
    assert_stock_weights_kept(SafeLlavaForConditionalGeneration.from_pretrained(output), llava)


def test_the_logits_without_safety_tokens_are_those_of_the_source(
    source, tiny_llava, tiny_llava_processor, make_image, tmp_path
):
    output = convert_llava_checkpoint(source, tmp_path / "output", **(SIZES | {"num_safety_tokens": 0}))
    inputs = tiny_llava_processor(images=make_image(0), text="<image>\nWhat is this?", return_tensors="pt")
    model = SafeLlavaForConditionalGeneration.from_pretrained(output)
    assert torch.equal(model(**inputs).logits, tiny_llava(**inputs).logits)


def test_shards_come_in_and_go_out(sharded_source, tiny_llava, tmp_path):
    assert len(list(sharded_source.glob("*.safetensors"))) > 2
    output = convert_llava_checkpoint(sharded_source, tmp_path / "output", **SIZES, max_shard_size="100KB")
    assert len(list(output.glob("*.safetensors"))) > 2
    assert_stock_weights_kept(SafeLlavaForConditionalGeneration.from_pretrained(output), tiny_llava)


def test_weights_keep_the_dtype_of_the_file_even_where_the_config_names_another(source, tmp_path):
    weights = {key: value.to(torch.bfloat16) for key, value in load_file(source / "model.safetensors").items()}
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    output = convert_llava_checkpoint(source, tmp_path / "output", **SIZES)
    assert {value.dtype for value in load_file(output / "model.safetensors").values()} == {torch.bfloat16}
    assert SafeLlavaForConditionalGeneration.from_pretrained(output).dtype == torch.bfloat16


def test_dtype_casts_every_weight(source, tmp_path):
    output = convert_llava_checkpoint(source, tmp_path / "output", **SIZES, dtype=torch.float16)
    assert {value.dtype for value in load_file(output / "model.safetensors").values()} == {torch.float16}
    assert SafeLlavaForConditionalGeneration.from_pretrained(output).config.text_config.dtype == torch.float16


def test_the_seed_decides_the_new_weights_and_nothing_else_does(source, tmp_path):
    torch.manual_seed(1)
    first = convert_llava_checkpoint(source, tmp_path / "first", **SIZES, seed=3)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    same = convert_llava_checkpoint(source, tmp_path / "same", **SIZES, seed=3)
    other = convert_llava_checkpoint(source, tmp_path / "other", **SIZES, seed=4)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)
    key = "model.safety_modules.head.query_layer.weight"
    weights = [load_file(folder / "model.safetensors")[key] for folder in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_new_modules_are_initialised_as_from_pretrained_would(source, tmp_path):
    weights = load_file(convert_llava_checkpoint(source, tmp_path / "output", **SIZES) / "model.safetensors")
    assert weights["model.safety_modules.tokens.prompt_tokens"].std() == pytest.approx(0.02, rel=0.3)
    assert torch.equal(weights["model.safety_modules.head.query_norm.weight"], torch.ones(32))
    assert not weights["model.safety_modules.head.query_layer.bias"].any()
    assert all(value.isfinite().all() for value in weights.values())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_safety_projector_begins_as_a_copy_of_the_llavas_own_where_that_is_wanted(
    tiny_llava, tiny_llava_processor, tmp_path, layout
):
    source = save_llava(tiny_llava, tiny_llava_processor, tmp_path / "source", layout)
    how = {**SIZES, "safety_projector_type": "mlp", "safety_projector_init": "llava"}
    weights = load_file(convert_llava_checkpoint(source, tmp_path / "output", **how) / "model.safetensors")
    own = tiny_llava.model.multi_modal_projector.state_dict()
    for layer, name in ((0, "linear_1"), (2, "linear_2")):
        for kind in ("weight", "bias"):
            copied = weights[f"model.safety_modules.projector.mlp.{layer}.{kind}"]
            assert torch.equal(copied, own[f"{name}.{kind}"]), name


@pytest.mark.parametrize(
    "changes",
    [{"safety_projector_type": "c_abstractor"}, {"safety_projector_type": "mlp", "use_safety_head": False}],
    ids=["another projector", "none"],
)
def test_a_projector_that_cannot_be_copied_is_refused_and_nothing_is_written(source, tmp_path, changes):
    with pytest.raises(ValueError, match="safety_projector_init"):
        convert_llava_checkpoint(source, tmp_path / "output", **{**SIZES, **changes}, safety_projector_init="llava")
    assert not (tmp_path / "output").exists()


def test_an_unknown_beginning_of_the_projector_is_refused(source, tmp_path):
    with pytest.raises(ValueError, match="'zeros'"):
        convert_llava_checkpoint(source, tmp_path / "output", **SIZES, safety_projector_init="zeros")


def test_the_processor_counts_the_safety_tokens_and_keeps_the_rest(source, tiny_llava_processor, tmp_path):
    processor = AutoProcessor.from_pretrained(convert_llava_checkpoint(source, tmp_path / "output", **SIZES))
    assert isinstance(processor, SafeLlavaProcessor)
    assert processor.num_additional_image_tokens == 1 + 4
    assert processor.chat_template == tiny_llava_processor.chat_template
    assert processor.tokenizer.get_vocab() == tiny_llava_processor.tokenizer.get_vocab()


@pytest.mark.parametrize(
    "said",
    [
        {"num_additional_image_tokens": 0},
        {"num_additional_image_tokens": 10**12},
        {"patch_size": 14},
        {"patch_size": None},
        {"vision_feature_select_strategy": None},
        {"vision_feature_select_strategy": "full"},
    ],
    ids=str,
)
def test_an_image_has_as_many_tokens_as_the_model_makes_whatever_the_processor_says(
    source, tmp_path, make_image, said
):
    path = source / "processor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | said))
    output = convert_llava_checkpoint(source, tmp_path / "output", **SIZES)
    inputs = AutoProcessor.from_pretrained(output)(images=make_image(0), text="<image>", return_tensors="pt")
    model = SafeLlavaForConditionalGeneration.from_pretrained(output)
    made = model.model.get_image_features(inputs["pixel_values"]).pooler_output[0]
    assert (inputs["input_ids"] == model.config.image_token_id).sum() == len(made) == 25 + 4


@pytest.mark.parametrize("changes", [{"padding_side": "right"}, {"padding_side": "right", "pad_token": None}], ids=str)
def test_a_batch_is_padded_on_the_left(source, tmp_path, changes):
    path = source / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    processor = AutoProcessor.from_pretrained(convert_llava_checkpoint(source, tmp_path / "output", **SIZES))
    batch = processor(text=["Who?", "What is in the picture?"], padding=True, return_tensors="pt")
    assert batch["attention_mask"][0, 0] == 0
    assert batch["attention_mask"][0, -1] == 1


def test_a_snapshot_of_links_converts(source, tmp_path):
    """The Hub's cache is one."""
    blobs = tmp_path / "blobs"
    source.rename(blobs)
    source.mkdir()
    for path in blobs.iterdir():
        (source / path.name).symlink_to(path)
    assert (convert_llava_checkpoint(source, tmp_path / "output", **SIZES) / "config.json").is_file()


def test_policy_and_generation_config_come_along(source, tiny_llava, tmp_path):
    model = SafeLlavaForConditionalGeneration.from_pretrained(
        convert_llava_checkpoint(source, tmp_path / "output", **SIZES)
    )
    assert model.safety_policy == SafetyPolicy()
    assert model.generation_config.eos_token_id == tiny_llava.generation_config.eos_token_id
    assert model.generation_config.pad_token_id == tiny_llava.generation_config.pad_token_id


def test_the_card_says_that_the_safety_modules_are_untrained_and_keeps_the_licence(source, tmp_path):
    (source / "README.md").write_text("---\nlicense: llama2\n---\n# A LLaVA\n")
    card = (convert_llava_checkpoint(source, tmp_path / "output", **SIZES) / "README.md").read_text()
    assert "No finished training of the safety modules is recorded" in card
    assert "license: llama2" in card


def test_a_source_without_chat_template_needs_one(source, tmp_path):
    (source / "chat_template.jinja").unlink()
    with pytest.raises(ValueError, match="no chat template"):
        convert_llava_checkpoint(source, tmp_path / "output", **SIZES)
    template = "{% for m in messages %}{{ '<image>' * m.content[:-1] | length + m.content[-1].text }} > {% endfor %}"
    output = convert_llava_checkpoint(source, tmp_path / "output", **SIZES, chat_template=template)
    assert AutoProcessor.from_pretrained(output).chat_template == template


@pytest.mark.parametrize(
    ("hidden_size", "intermediate_size", "num_hidden_layers", "added_million"),
    [(4096, 11008, 32, 108), (5120, 13824, 40, 156)],
    ids=["7B", "13B"],
)
def test_at_llava_1_5_sizes_stock_names_and_shapes_match(
    hidden_size, intermediate_size, num_hidden_layers, added_million
):
    config = LlavaConfig(
        text_config=LlamaConfig(
            hidden_size=hidden_size,
            intermediate_size=intermediate_size,
            num_hidden_layers=num_hidden_layers,
            num_attention_heads=hidden_size // 128,
            vocab_size=32064,
        )
    )
    base = {key: value for key, value in config.to_dict().items() if key not in ("model_type", "architectures")}
    with torch.device("meta"):
        stock = dict(LlavaForConditionalGeneration(config).named_parameters())
        safe = dict(SafeLlavaForConditionalGeneration(SafeLlavaConfig(**base)).named_parameters())
    assert {name: safe[name].shape for name in stock} == {name: value.shape for name, value in stock.items()}

    def count(prefix: str) -> float:
        return (
            sum(value.numel() for name, value in safe.items() if name.startswith(f"model.safety_modules.{prefix}"))
            / 1e6
        )

    assert sum(value.numel() for value in safe.values()) - sum(value.numel() for value in stock.values()) == (
        pytest.approx(count("") * 1e6)
    )
    assert count("") == pytest.approx(added_million, abs=1)
    if hidden_size == 4096:
        assert (count("projector"), count("head"), count("tokens")) == pytest.approx((40, 67, 0.5), abs=0.6)


def test_untrained_model_treats_every_image_as_risky_until_stage_1(source, make_image, tmp_path):
    convert_llava_checkpoint(source, tmp_path / "safe", **SIZES)
    model = SafeLlavaForConditionalGeneration.from_pretrained(tmp_path / "safe")
    processor = AutoProcessor.from_pretrained(tmp_path / "safe")
    inputs = processor(text="USER: <image> Who? ASSISTANT:", images=make_image(0), return_tensors="pt")
    assert model.assess(**inputs).levels == ["high"]
    record_training(model)
    assert model.assess(**inputs).trusted.all()


def test_a_checkpoint_without_a_head_has_no_policy_and_answers_as_it_is(source: Path, tmp_path: Path):
    folder = convert_llava_checkpoint(source, tmp_path / "out", **SIZES, use_safety_head=False)
    model = SafeLlavaForConditionalGeneration.from_pretrained(folder)
    assert model.safety_policy is None
    assert not any("safety_modules.head" in name or "safety_modules.projector" in name for name in model.state_dict())


def test_a_checkpoint_without_any_safety_module_is_the_stock_model(source: Path, tiny_llava, tmp_path: Path):
    folder = convert_llava_checkpoint(
        source, tmp_path / "out", **SIZES | {"num_safety_tokens": 0}, use_safety_head=False
    )
    model = SafeLlavaForConditionalGeneration.from_pretrained(folder)
    assert model.state_dict().keys() == tiny_llava.state_dict().keys()
