"""LLaVA-NeXT and LLaVA-OneVision train both stages by the same recipe script, and see images as they do later."""

import copy

import pytest
import torch
import yaml
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from recipes.train import main
from safe_llava.inference import ask
from safe_llava.pixel_scale import PixelScale
from safe_llava.training.adversarial_pixels import EPSILON, attack_pixels
from safe_llava.training.collator import SafeDataCollator
from tests.family_members import MEMBERS, build_member


@pytest.fixture(scope="module", params=MEMBERS)
def member(request):
    return build_member(request.param)


@pytest.fixture
def model(member):
    return copy.deepcopy(member.model)


@pytest.fixture
def processor(member):
    return member.processor


@pytest.fixture
def rows(rows, make_image):
    """Images of several sizes; one row has two of them and one none."""
    for index, row in enumerate(rows):
        row["images"] = [make_image(index, *size) for size in ([(40, 30)], [(31, 97)], [(30, 30)])[index % 3]]
    rows[1]["images"].append(make_image(9, 90, 20))
    rows[1]["messages"][0]["content"].insert(0, {"type": "image"})
    rows[2]["images"] = []
    del rows[2]["messages"][0]["content"][0]
    return rows


def save(model, processor, dataset, folder):
    model.save_pretrained(folder / "base")
    processor.save_pretrained(folder / "base")
    dataset.save_to_disk(folder / "data")


def train(folder, start, end, **changes) -> None:
    fields = {
        "model_name_or_path": str(folder / start),
        "output_dir": str(folder / end),
        "dataset_name": str(folder / "data"),
        "learning_rate": 1.0e-3,
        "max_steps": 2,
        "max_length": None,
        "per_device_train_batch_size": 4,
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
        "save_strategy": "no",
        "report_to": "none",
        "require_learned_head": False,
        **changes,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(fields))
    main(["--config", str(folder / "config.yaml")])


def test_both_stages_train_what_they_should_and_the_result_answers(model, processor, dataset, tmp_path):
    save(model, processor, dataset, tmp_path)
    train(tmp_path, "base", "one", stage=1, vision_feature_cache=str(tmp_path / "cache"))
    lora = {"use_peft": True, "lora_target_modules": r"model\.language_model\.layers\..*_proj", "merge_adapter": True}
    train(tmp_path, "one", "two", stage=2, lora_task_type=None, **lora)
    models = [AutoModelForImageTextToText.from_pretrained(tmp_path / name) for name in ("base", "one", "two")]
    states = [each.state_dict() for each in models]
    parts = ("model.safety_modules.", "model.language_model.layers.")
    for before, after, part in zip(states, states[1:], parts):
        moved = {name for name in after if not torch.equal(before[name], after[name])}
        assert moved
        assert all(name.startswith(part) for name in moved)
    answer = ask(models[-1], AutoProcessor.from_pretrained(tmp_path / "two"), "Who?", [Image.new("RGB", (31, 97))])
    assert not answer.verdict["trusted"]  # Two steps teach nothing.
    assert answer.decision.action == "refuse"


def test_a_batch_holds_what_the_model_is_asked_with_later(processor, model, rows):
    batch = SafeDataCollator(processor)(rows[:4])
    texts = [processor.apply_chat_template(row["messages"], tokenize=False) for row in rows[:4]]
    expected = processor(images=[row["images"] for row in rows[:4]], text=texts, padding=True, return_tensors="pt")
    for name in ("pixel_values", *model.image_arguments):
        assert torch.equal(batch[name], expected[name]), name
    is_image = batch["input_ids"] == processor.image_token_id
    assert is_image.sum(dim=1).tolist() == (expected["input_ids"] == processor.image_token_id).sum(dim=1).tolist()
    assert (batch["labels"][is_image] == -100).all()
    assert model(**batch).loss.isfinite()


def test_pixel_steps_move_the_images_of_the_attacked_row_alone(processor, model, rows):
    batch, scale = SafeDataCollator(processor)(rows[:4]), PixelScale(processor)
    owners = [row for row in range(4) for _ in rows[row]["images"]]
    attacked = torch.tensor([row if row == 1 else -1 for row in owners])
    changed = scale.restore(attack_pixels(model, scale, batch, attacked))
    moved = (changed - scale.restore(batch["pixel_values"])).abs().flatten(1).amax(dim=1)
    assert [1 if distance > EPSILON / 2 else -1 for distance in moved] == attacked.tolist()
    assert moved.max() <= EPSILON + 1e-2
