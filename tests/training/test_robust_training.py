"""Stage 1 against attacks: which rows are changed, how far, and what never changes."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from safe_llava.models.safety_loss import safety_row_losses
from safe_llava.pixel_scale import PixelScale
from safe_llava.training import SafeDataCollator, train_only_safety_modules
from safe_llava.training.adversarial_pixels import EPSILON, STEPS, attack_pixels
from safe_llava.training.damaged_images import damage_image
from safe_llava.training.refusals import check_robust
from safe_llava.training.robust_rows import ATTACKED_ROWS, RobustRows
from tests.training.conftest import make_row


TEXTS = ["Which colour ?"] * 8


@pytest.fixture
def images(make_image):
    """Of eight rows, one with two images and one with none."""
    images = [[make_image(index, 32, 32)] for index in range(8)]
    images[1].append(make_image(9, 40, 30))
    images[2] = []
    return images


@pytest.fixture
def robust_batch(processor, rows, images):
    for row, of_row in zip(rows, images):
        row["images"] = of_row
        row["messages"][0]["content"] = [{"type": "image"}] * len(of_row) + [{"type": "text", "text": "Who ?"}]
    return SafeDataCollator(processor, robust=RobustRows(0))(rows)


def same(image: Image.Image, other: Image.Image) -> bool:
    return image.size == other.size and image.tobytes() == other.tobytes()


def test_half_of_the_rows_with_an_image_stay_clean_and_a_quarter_each_is_damaged_and_attacked(make_image):
    images = [[make_image(index)] for index in range(16)]
    changed, attacked_rows = RobustRows(3).draw(["Who ?"] * 16, images)
    damaged = {row for row in range(16) if not same(changed[row][0], images[row][0])}
    attacked = {row for row in attacked_rows.tolist() if row >= 0}
    assert (len(damaged), len(attacked), len(damaged & attacked)) == (4, 4, 0)


def test_each_image_is_said_to_be_of_its_own_row(images):
    owners = [row for row, of_row in enumerate(images) for _ in of_row]
    found = [RobustRows(seed).draw(TEXTS, images)[1].tolist() for seed in range(40)]
    assert {name for drawn in found for name in drawn} == {-1, 0, 1, 3, 4, 5, 6, 7}
    assert all(owner in (-1, expected) for drawn in found for owner, expected in zip(drawn, owners))
    assert all(drawn[1] == drawn[2] for drawn in found)  # the two of one row


def test_the_same_seed_and_batch_draw_the_same_and_others_do_not(images):
    def draw(seed, texts=TEXTS, images=images):
        changed, attacked_rows = RobustRows(seed).draw(texts, images)
        return [image.tobytes() for of_row in changed for image in of_row], attacked_rows.tolist()

    first = draw(0)
    assert draw(0) == first
    assert draw(1) != first
    assert draw(0, ["Who ?", *TEXTS[1:]]) != first
    assert draw(0, images=[*images[:-1], [images[0][0].rotate(90)]]) != first


def test_every_kind_of_damage_changes_an_image_and_leaves_the_original(make_image):
    image = make_image(0, 48, 40)
    before = image.tobytes()
    damaged = [damage_image(image, np.random.default_rng(seed)) for seed in range(60)]
    assert all(each.mode == "RGB" for each in damaged)
    assert sum(same(each, image) for each in damaged) <= 3  # a crop of nothing
    assert image.tobytes() == before


def test_labels_and_texts_are_those_of_the_rows(processor, rows, robust_batch):
    plain = SafeDataCollator(processor)(rows)
    assert robust_batch.keys() - plain.keys() == {ATTACKED_ROWS}
    changed = {name for name in plain if not torch.equal(plain[name], robust_batch[name])}
    assert changed == {"pixel_values"}


def test_a_batch_without_images_is_as_it_was(processor):
    rows = [make_row()]
    rows[0]["images"] = []
    del rows[0]["messages"][0]["content"][0]
    assert ATTACKED_ROWS not in SafeDataCollator(processor, robust=RobustRows(0))(rows)


NORMALISATIONS = {
    "clip": {},
    "siglip": {"image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    "none": {"do_normalize": False},
    "not rescaled": {"do_rescale": False, "image_mean": [120.0, 110.0, 100.0], "image_std": [60.0, 50.0, 70.0]},
    "from -1": {"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3},
    "raw": {"do_rescale": False, "do_normalize": False},
}


@pytest.mark.parametrize("settings", NORMALISATIONS.values(), ids=NORMALISATIONS)
def test_no_pixel_goes_further_than_it_may_nor_beyond_black_and_white(settings, model, processor, rows):
    for name, value in settings.items():
        setattr(processor.image_processor, name, value)
    for row in rows:  # black and white are near both bounds
        row["images"] = [Image.fromarray(np.random.default_rng(0).integers(0, 2, (32, 32, 3), np.uint8) * 255)]
    batch = SafeDataCollator(processor)(rows)
    attacked = torch.tensor([0, -1, -1, 3, -1, -1, -1, -1])
    scale = PixelScale(processor)
    changed = attack_pixels(model, scale, batch, attacked)
    before, after = scale.restore(batch["pixel_values"]), scale.restore(changed)
    assert before.min() > -1e-2 and before.max() < 255.01
    moved = (after - before).abs().amax(dim=(1, 2, 3))
    assert (moved[[0, 3]] > EPSILON / 2).all() and moved.max() <= EPSILON + 1e-2
    assert moved.nonzero().flatten().tolist() == [0, 3]
    assert after.min() > -1e-2 and after.max() < 255.01


class Fragile(nn.Module):
    """A head that reads from the first feature of all patches how risky a row is."""

    def forward(self, text_embeds, text_mask, safety_tokens, features, image_rows):
        score = text_embeds.new_zeros(len(text_embeds)).index_add(0, image_rows, features[..., 0].mean(dim=1))
        return torch.stack([-score, *[score] * 3], dim=-1), torch.stack([*[score] * 6, -score], dim=-1)


@pytest.fixture
def fragile(model):
    model.model.safety_modules.head = Fragile()
    return model


@torch.no_grad()
def losses_of(model, batch):
    scores = model(**{name: value for name, value in batch.items() if name != ATTACKED_ROWS})
    return sum(safety_row_losses(scores[f"{name}_logits"], batch[f"safety_{name}"]) for name in ("level", "type"))


def test_the_steps_raise_the_loss_of_the_attacked_rows_and_of_no_other(fragile, processor, rows):
    batch = SafeDataCollator(processor)(rows)
    attacked = torch.tensor([0, 1, -1, 3, -1, -1, -1, -1])
    before = losses_of(fragile, batch)
    batch["pixel_values"] = attack_pixels(fragile, PixelScale(processor), batch, attacked)
    raised = losses_of(fragile, batch) - before
    assert (raised[[0, 1, 3]] > 0).all()
    torch.testing.assert_close(raised[[2, 4, 5, 6, 7]], torch.zeros(5), atol=1e-4, rtol=0)


def test_an_unlabelled_row_is_left_as_it_is(model, processor, rows):
    batch = SafeDataCollator(processor)(rows)
    changed = attack_pixels(model, PixelScale(processor), batch, torch.arange(8))
    moved = (changed != batch["pixel_values"]).flatten(1).any(dim=1)
    assert moved.tolist() == [index % 3 != 2 for index in range(8)]


def test_the_head_does_not_read_the_answer_while_pixels_are_moved(model, processor, rows):
    changed = []
    for answer in ("Red .", "Blue ."):
        rows[0]["messages"][1]["content"][0]["text"] = answer
        batch = SafeDataCollator(processor)(rows[:1])
        torch.manual_seed(0)
        changed.append(attack_pixels(model, PixelScale(processor), batch, torch.tensor([0])))
    torch.testing.assert_close(*changed)


def test_a_tower_that_passes_no_gradient_on_is_named(model, processor, rows, monkeypatch):
    features = model.model.get_image_features
    monkeypatch.setattr(
        model.model, "get_image_features", lambda pixels, **kwargs: features(pixels.detach(), **kwargs)
    )
    with pytest.raises(ValueError, match=r"CLIPVisionModel.*passes no gradient on"):
        attack_pixels(model, PixelScale(processor), SafeDataCollator(processor)(rows), torch.arange(8))


@pytest.fixture
def towers_images(model):
    """How many images the tower has seen, a number for each pass."""
    seen = []
    model.model.vision_tower.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(len(args[0] if args else kwargs["pixel_values"])), with_kwargs=True
    )
    return seen


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_a_step_takes_three_more_passes_over_a_quarter_and_trains_safety_modules_alone(
    gradient_checkpointing, make_trainer, model, rows, dataset, towers_images
):
    before = weights_of(model)
    train_only_safety_modules(model)
    labelled = dataset.filter(lambda level: level >= 0, input_columns="safety_level").select(range(4))
    changes = {"per_device_train_batch_size": 4, "gradient_checkpointing": gradient_checkpointing}
    make_trainer(train_dataset=labelled, robust=True, max_grad_norm=0.0, max_steps=2, **changes).train()
    assert towers_images == [*[1] * STEPS, 4] * 2
    assert all(weight.grad is None for name, weight in model.named_parameters() if "safety_modules." not in name)
    moved = {name for name, value in weights_of(model).items() if not torch.equal(value, before[name])}
    assert moved and all("safety_modules." in name for name in moved)


def test_evaluation_sees_images_as_they_are(make_trainer, model, dataset, towers_images):
    train_only_safety_modules(model)
    trainer = make_trainer(eval_dataset=dataset, robust=True)
    for loader, is_changed in ((trainer.get_train_dataloader(), True), (trainer.get_eval_dataloader(), False)):
        assert {ATTACKED_ROWS in batch for batch in loader} == {is_changed}
    trainer.evaluate()
    assert sum(towers_images) == 8


def test_without_robust_the_model_is_given_what_the_collator_makes(make_trainer, model, dataset, monkeypatch):
    train_only_safety_modules(model)
    trainer = make_trainer()
    plain = SafeDataCollator(trainer.processing_class)
    for batch in trainer.get_train_dataloader():
        assert batch.keys() == plain([dataset[0]]).keys()
    monkeypatch.setattr("safe_llava.training.trainer.attack_pixels", lambda *args: pytest.fail("It was attacked."))
    trainer.train()


def test_a_run_that_is_resumed_ends_with_the_same_weights(make_trainer, model, dataset, tmp_path):
    start = weights_of(model)
    ends = []
    for resumed in (None, str(tmp_path / "run" / "checkpoint-2")):
        model.load_state_dict(start)
        train_only_safety_modules(model)
        trainer = make_trainer(robust=True, max_steps=4, save_strategy="steps", save_steps=2, seed=5)
        trainer.train(resume_from_checkpoint=resumed)
        ends.append(weights_of(model))
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def unfreeze(model):
    train_only_safety_modules(model)
    return model


@pytest.mark.parametrize(
    ("prepare", "changes", "named"),
    [
        (lambda model: model.requires_grad_(False), {}, "no safety head trains"),
        (unfreeze, {"vision_feature_cache": "cache"}, "vision_feature_cache"),
        (unfreeze, {"data_collator": lambda rows: {}}, "data_collator"),
    ],
    ids=["frozen head", "cache", "collator"],
)
def test_what_it_cannot_go_with_is_refused(prepare, changes, named, make_trainer, model):
    prepare(model)
    with pytest.raises(ValueError, match=named):
        make_trainer(robust=True, **changes)


def test_weights_in_parts_are_refused(model):
    with pytest.raises(ValueError, match="DDP or ZeRO-2"):
        check_robust(unfreeze(model), None, None, is_sharded=True)
