"""Sources that are nothing like LLaVA-1.5 and run as a stock LLaVA: they convert, or what is missing is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from stock_checkpoints import SIZES
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig
from typer.testing import CliRunner

from safe_llava.chat_templates import fit_chat_template
from safe_llava.cli import app
from safe_llava.cli.convert import nearest_recipe
from safe_llava.conversion import convert_llava_checkpoint
from safe_llava.foreign_modules import import_foreign_modules
from tests.foreign_llava import CHATML, SYSTEM_TURN, ConvTower, build_foreign_llava


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source as it is, and `output`, what becomes of it."""
    folder = tmp_path_factory.mktemp("sound")
    model, processor = build_foreign_llava()
    model.save_pretrained(folder / "source")
    processor.save_pretrained(folder / "source")
    convert_llava_checkpoint(folder / "source", folder / "output", **(SIZES | {"num_safety_tokens": 0}))
    return folder


@pytest.fixture
def source(sound: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(sound / "source", tmp_path / "source")


@pytest.fixture
def convert(source: Path) -> Callable[..., Path]:
    def convert(**changes) -> Path:
        return convert_llava_checkpoint(source, source.parent / "output", **(SIZES | changes))

    return convert


@pytest.fixture
def refuse(convert, tmp_path) -> Callable[[str], None]:
    def refuse(message: str) -> None:
        with pytest.raises(ValueError, match=message):
            convert()
        assert [path.name for path in tmp_path.iterdir()] == ["source"]

    return refuse


def test_every_stock_weight_and_counter_is_kept_and_the_logits_with_them(sound, make_image):
    source, folder = sound / "source", sound / "output"
    written = load_file(folder / "model.safetensors")
    stock = load_file(source / "model.safetensors")
    assert any(value.dtype == torch.int64 for value in stock.values())
    assert not [name for name, value in stock.items() if not torch.equal(written[name], value)]
    inputs = AutoProcessor.from_pretrained(folder)(images=make_image(0), text="<image>\nWho?", return_tensors="pt")
    models = [AutoModelForImageTextToText.from_pretrained(path).eval() for path in (source, folder)]
    assert torch.equal(*[model(**inputs).logits for model in models])


def test_a_template_that_takes_texts_renders_parts_as_it_renders_their_texts(sound):
    texts = [{"role": "user", "content": "<image>\nWho?"}, {"role": "assistant", "content": "A cat."}]
    parts = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Who?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]},
    ]
    stock, converted = (AutoProcessor.from_pretrained(sound / name) for name in ("source", "output"))
    expected = stock.apply_chat_template(texts, add_generation_prompt=True)
    assert converted.apply_chat_template(parts, add_generation_prompt=True) == expected
    assert expected.startswith(SYSTEM_TURN)


@pytest.mark.parametrize("template", [CHATML, "{% for m in messages %}{{ m.content }}{% endfor %}"])
def test_a_template_that_takes_texts_takes_them_still(sound, template):
    chat = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Yes?"}]
    processor = AutoProcessor.from_pretrained(sound / "source")
    processor.chat_template = template
    expected = processor.apply_chat_template(chat)
    fit_chat_template(processor, "source")
    assert processor.chat_template != template
    assert processor.apply_chat_template(chat) == expected


def test_a_batch_is_padded_on_the_left_where_the_tokenizer_was_never_told_a_side(sound):
    assert "padding_side" not in json.loads((sound / "source" / "tokenizer_config.json").read_text())
    batch = AutoProcessor.from_pretrained(sound / "output")(
        text=["Who?", "Who is it?"], padding=True, return_tensors="pt"
    )
    assert batch["attention_mask"][:, 0].tolist() == [0, 1]


def test_answers_end_at_the_tokenizers_end_token_too(source, convert):
    GenerationConfig(eos_token_id=[0, 3]).save_pretrained(source)
    folder = convert()
    config = GenerationConfig.from_pretrained(folder)
    tokenizer = AutoProcessor.from_pretrained(folder).tokenizer
    assert config.eos_token_id == [tokenizer.eos_token_id, 0, 3]
    assert config.pad_token_id == tokenizer.pad_token_id


def test_a_tower_that_nobody_imported_is_named_with_what_to_do(source):
    config = json.loads((source / "config.json").read_text())
    config["vision_config"]["model_type"] = "tower_of_another"
    (source / "config.json").write_text(json.dumps(config))
    result = CliRunner().invoke(app, ["convert", str(source), str(source.parent / "output")])
    assert result.exit_code == 1
    assert "'tower_of_another', which transformers does not know" in result.stderr
    assert "SAFE_LLAVA_IMPORT=" in result.stderr


def test_what_the_environment_names_is_imported_or_the_reason_is_told(monkeypatch):
    monkeypatch.setenv("SAFE_LLAVA_IMPORT", "tests.foreign_llava, json")
    import_foreign_modules()
    monkeypatch.setenv("SAFE_LLAVA_IMPORT", "json,no_such.tower")
    with pytest.raises(ValueError, match=r"`SAFE_LLAVA_IMPORT` names 'no_such.tower'"):
        import_foreign_modules()


def test_an_image_token_that_the_tokenizer_takes_apart(source, refuse):
    path = source / "tokenizer.json"
    values = json.loads(path.read_text())
    added = values["added_tokens"].pop()
    values["model"]["vocab"][added["content"]] = added["id"]
    path.write_text(json.dumps(values))
    refuse("takes the image token '<image>' apart")


def test_hidden_states_that_are_maps(monkeypatch, refuse):
    def forward(self, pixel_values, **kwargs):
        outputs = run(self, pixel_values)
        outputs.hidden_states = (outputs.last_hidden_state.unsqueeze(1),)
        return outputs

    run = ConvTower.forward
    monkeypatch.setattr(ConvTower, "forward", forward)
    refuse("must be sequences")


def test_positions_that_are_no_grid(monkeypatch, refuse):
    def forward(self, pixel_values, **kwargs):
        outputs = run(self, pixel_values)
        outputs.hidden_states = (outputs.last_hidden_state[:, :11],)
        return outputs

    run = ConvTower.forward
    monkeypatch.setattr(ConvTower, "forward", forward)
    refuse("no grid of patches")


def test_a_hidden_state_that_the_tower_lacks(source, refuse):
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"vision_feature_layer": -2}))
    refuse("`vision_feature_layer` -2")


@pytest.mark.parametrize("field", ["hidden_size", "image_size"])
def test_a_tower_that_does_not_say_its_sizes(source, refuse, field):
    config = json.loads((source / "config.json").read_text())
    config["vision_config"][field] = None
    (source / "config.json").write_text(json.dumps(config))
    refuse(f"`vision_config.{field}` is None")


@pytest.mark.parametrize(
    ("num_layers", "width", "recipe"),
    [(40, 5120, "llava-1.5-13b"), (32, 4096, "llava-1.5-7b"), (28, 3584, "llava-1.5-7b"), (30, 576, "smol")],
)
def test_the_recipe_that_is_advised_goes_by_the_size(num_layers, width, recipe):
    assert nearest_recipe(num_layers, width)[0] == recipe


def test_tied_weights_stay_tied(sound):
    model = AutoModelForImageTextToText.from_pretrained(sound / "output")
    assert model.lm_head.weight is model.get_input_embeddings().weight
