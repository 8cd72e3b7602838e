"""LLaVA-NeXT and LLaVA-OneVision as the hub has them: every stock weight comes out bit for bit, and images fit."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from stock_checkpoints import LAYOUTS, to_hub_layout
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    MistralConfig,
    Qwen2Config,
)

from safe_llava.cli.convert import nearest_recipe
from safe_llava.conversion import convert_llava_checkpoint
from safe_llava.family import FAMILY
from tests.conftest import build_tokenizer
from tests.family_members import MEMBERS, SIZES, build_processor, build_stock


def save_stock(model_type: str, folder: Path, layout: str, text_class: type | None = None):
    """A stock model and its processor as files: those of transformers 5, or the older ones of llava-hf."""
    tokenizer = build_tokenizer()
    model = build_stock(model_type, tokenizer, text_class)
    model.save_pretrained(folder, save_original_format=layout == "transformers_5_original_format")
    if layout == "hub":
        tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
        weights = {to_hub_layout(k): v.contiguous() for k, v in model.state_dict().items() if k not in tied}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    build_processor(model_type, tokenizer, num_safety_tokens=0).save_pretrained(folder)
    for path in folder.glob("*.py"):
        path.unlink()
    path = folder / "processor_config.json"
    settings = json.loads(path.read_text())
    settings["processor_class"] = type(model).__name__.replace("ForConditionalGeneration", "Processor")
    for name in ("auto_map", *(["num_additional_image_tokens"] if model_type == "llava_onevision" else [])):
        del settings[name]
    if layout == "hub":
        images = settings.pop("image_processor")
        images["processor_class"] = settings["processor_class"]
        images["image_processor_type"] = images["image_processor_type"].removesuffix("Pil")
        (folder / "preprocessor_config.json").write_text(json.dumps(images))
    path.write_text(json.dumps(settings))
    return model


@pytest.mark.parametrize(
    ("model_type", "text_class", "layout"),
    [
        *(("llava_next", LlamaConfig, layout) for layout in LAYOUTS),
        ("llava_next", MistralConfig, "hub"),
        *(("llava_onevision", Qwen2Config, layout) for layout in LAYOUTS),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_every_stock_weight_of_each_key_layout_is_kept_bit_for_bit(
    model_type, text_class, layout, tmp_path, make_image
):
    stock = save_stock(model_type, tmp_path / "source", layout, text_class)
    output = convert_llava_checkpoint(tmp_path / "source", tmp_path / "output", **(SIZES | {"num_safety_tokens": 0}))
    model, info = AutoModelForImageTextToText.from_pretrained(output, output_loading_info=True)
    assert type(model) is FAMILY[f"safe_{model_type}"].generator
    assert not any(info.values())
    for name, weight in stock.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name
    processor = AutoProcessor.from_pretrained(output)
    images = [[make_image(0, 40, 30)], [make_image(1, 31, 97), make_image(2)]]
    inputs = processor(images=images, text=["<image> Who?", "<image><image>"], padding=True, return_tensors="pt")
    assert torch.equal(model(**inputs).logits, stock(**inputs).logits)


@pytest.mark.parametrize("model_type", MEMBERS)
def test_an_image_has_as_many_tokens_as_the_model_makes_with_the_safety_tokens(model_type, tmp_path, make_image):
    save_stock(model_type, tmp_path / "source", "hub")
    output = convert_llava_checkpoint(tmp_path / "source", tmp_path / "output", **SIZES)
    inputs = AutoProcessor.from_pretrained(output)(images=make_image(0), text="<image>", return_tensors="pt")
    model = AutoModelForImageTextToText.from_pretrained(output)
    images = {name: inputs[name] for name in ("pixel_values", *model.image_arguments) if name in inputs}
    (rows,) = model.get_image_features(**images).pooler_output
    assert (inputs["input_ids"] == model.config.image_token_id).sum() == len(rows)
    assert torch.equal(rows[: SIZES["num_safety_tokens"]], model.model.safety_modules.tokens.prompt_tokens)


@pytest.mark.parametrize("model_type", MEMBERS)
def test_tiles_that_processor_and_model_cut_otherwise_are_refused(model_type, tmp_path):
    save_stock(model_type, tmp_path / "source", "transformers_5")
    path = tmp_path / "source" / "processor_config.json"
    settings = json.loads(path.read_text())
    settings["image_processor"]["image_grid_pinpoints"] = [[30, 90]]
    path.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="image_grid_pinpoints"):
        convert_llava_checkpoint(tmp_path / "source", tmp_path / "output", **SIZES)
    assert not (tmp_path / "output").exists()


def test_a_tied_head_that_is_stored_all_the_same_is_kept(tmp_path):
    stock = save_stock("llava_onevision", tmp_path / "source", "hub")
    path = tmp_path / "source" / "model.safetensors"
    weights = load_file(path) | {"language_model.lm_head.weight": stock.lm_head.weight.detach().clone()}
    save_file(weights, path, metadata={"format": "pt"})
    output = convert_llava_checkpoint(tmp_path / "source", tmp_path / "output", **SIZES)
    model = AutoModelForImageTextToText.from_pretrained(output)
    assert torch.equal(model.lm_head.weight, stock.lm_head.weight)
    assert model.lm_head.weight is model.get_input_embeddings().weight


VICUNA = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "vocab_size": 32064}
MISTRAL = {"hidden_size": 4096, "intermediate_size": 14336, "num_key_value_heads": 8, "vocab_size": 32064}
QWEN_HALF = {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14}
QWEN_7B = {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28}


@pytest.mark.parametrize(
    ("config_class", "model_class", "text_config", "added_million"),
    [
        (LlavaNextConfig, LlavaNextForConditionalGeneration, LlamaConfig(**VICUNA), 108),
        (LlavaNextConfig, LlavaNextForConditionalGeneration, MistralConfig(**MISTRAL), 108),
        (
            LlavaOnevisionConfig,
            LlavaOnevisionForConditionalGeneration,
            Qwen2Config(**QWEN_HALF, num_key_value_heads=2, vocab_size=152000, tie_word_embeddings=True),
            29,
        ),
        (
            LlavaOnevisionConfig,
            LlavaOnevisionForConditionalGeneration,
            Qwen2Config(**QWEN_7B, num_key_value_heads=4, vocab_size=152064),
            93,
        ),
    ],
    ids=["next-vicuna-7b", "next-mistral-7b", "onevision-0.5b", "onevision-7b"],
)
def test_at_real_sizes_stock_names_and_shapes_match(config_class, model_class, text_config, added_million):
    config = config_class(text_config=text_config)
    base = {key: value for key, value in config.to_dict().items() if key not in ("model_type", "architectures")}
    member = FAMILY[f"safe_{config.model_type}"]
    with torch.device("meta"):
        stock = dict(model_class(config).named_parameters())
        safe = dict(member.generator(member.config(**base)).named_parameters())
    assert {name: safe[name].shape for name in stock} == {name: value.shape for name, value in stock.items()}
    added = sum(value.numel() for name, value in safe.items() if name not in stock) / 1e6
    assert added == pytest.approx(added_million, abs=1)


@pytest.mark.parametrize(
    ("model_type", "num_layers", "width", "recipe"),
    [
        ("safe_llava_next", 32, 4096, "llava-next-7b"),
        ("safe_llava_onevision", 28, 3584, "llava-onevision-7b"),
        ("safe_llava_onevision", 24, 896, "llava-onevision-0.5b"),
    ],
)
def test_the_recipe_that_is_advised_is_one_of_its_kind(model_type, num_layers, width, recipe):
    assert nearest_recipe(num_layers, width, model_type)[0] == recipe
