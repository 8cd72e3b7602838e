"""Features of the frozen tower on disk: same losses, one pass an image, never those of another image."""

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from transformers.models.clip.modeling_clip import CLIPVisionEmbeddings

from safe_llava.models.safety_known_answers import draw_patterns
from safe_llava.training import LANGUAGE_MODEL_LINEAR_LAYERS, train_only_safety_modules
from safe_llava.training.vision_cache import KNOWN_ANSWERS, cache_vision_features


@pytest.fixture
def towers_images(model):
    """How many images the tower's first layer has seen, a number for each pass; drawn patterns are none."""
    seen, patterns = [], draw_patterns(3, 30)

    def count(module, args):
        if not torch.equal(args[0].float(), patterns):
            seen.append(len(args[0]))

    model.model.vision_tower.embeddings.register_forward_pre_hook(count)
    return seen


@pytest.fixture
def cached(model, tmp_path):
    model.requires_grad_(False)
    cache_vision_features(model, tmp_path / "cache")
    return model


@pytest.fixture
def images():
    return torch.randn(3, 3, 30, 30, generator=torch.Generator().manual_seed(0))


def files(tmp_path):
    found = (tmp_path / "cache").rglob("*.safetensors")
    return sorted(path for path in found if path.stem != KNOWN_ANSWERS)


@pytest.mark.parametrize("stage", [1, 2])
def test_losses_with_the_cache_are_those_without(make_trainer, model, stage, tmp_path):
    start = {name: value.clone() for name, value in model.state_dict().items()}
    losses = []
    for cache in (None, tmp_path / "cache"):
        model.load_state_dict(start)
        train_only_safety_modules(model)
        lora = LoraConfig(r=4, target_modules=LANGUAGE_MODEL_LINEAR_LAYERS) if stage == 2 else None
        trainer = make_trainer(peft_config=lora, vision_feature_cache=cache, max_steps=-1, num_train_epochs=2)
        trainer.train()
        losses.append([(log["loss"], log["safety_loss"]) for log in trainer.state.log_history if "loss" in log])
        if stage == 2:
            trainer.model.unload()
    assert len(losses[0]) == 8
    assert losses[1] == [pytest.approx(entry, rel=1e-5) for entry in losses[0]]


def test_two_epochs_take_one_pass_for_each_image(make_trainer, model, towers_images, tmp_path):
    train_only_safety_modules(model)
    make_trainer(vision_feature_cache=tmp_path / "cache", max_steps=-1, num_train_epochs=2).train()
    assert sum(towers_images) == 2 == len(files(tmp_path))  # the eight rows show a red and a blue image


def test_an_image_met_again_gives_the_same_features(cached, images, towers_images):
    first, second = (cached.model.get_image_features(images, return_dict=True) for _ in range(2))
    assert torch.equal(first.patch_features, second.patch_features)
    assert torch.equal(torch.stack(first.pooler_output), torch.stack(second.pooler_output))
    assert towers_images == [3]


def test_only_a_changed_image_is_computed_again(cached, images, towers_images):
    cached.model.get_image_features(images)
    images[1, 0, 0, 0] += 1e-6
    cached.model.get_image_features(images)
    assert towers_images == [3, 1]


def test_another_preprocessing_gives_other_features(cached, processor, make_image, towers_images):
    for mean in (0.5, 0.4):
        processor.image_processor.image_mean = [mean] * 3
        pixels = processor.image_processor(make_image(0), return_tensors="pt")["pixel_values"]
        cached.model.get_image_features(pixels)
    assert towers_images == [1, 1]


def test_another_tower_reads_nothing_of_the_first(cached, images, towers_images, tmp_path):
    cached.model.get_image_features(images)
    with torch.no_grad():
        cached.model.vision_tower.encoder.layers[0].mlp.fc1.weight[0, 0] += 1e-3
    cache_vision_features(cached, tmp_path / "cache")
    cached.model.get_image_features(images)
    assert towers_images == [3, 3]


def test_features_of_another_precision_are_not_read(cached, images, towers_images):
    cached.model.get_image_features(images)
    with torch.autocast("cpu", torch.bfloat16):
        cached.model.get_image_features(images)
    assert towers_images == [3, 3]


def tear(path):
    path.write_bytes(path.read_bytes()[:-8])


def fill_with_text(path):
    path.write_text("not features")


def fill_with_another_image(path):
    save_file({"features": torch.zeros(1, 26, 32)}, path, metadata={"image": "another"})


@pytest.mark.parametrize("spoil", [tear, fill_with_text, fill_with_another_image])
def test_a_spoiled_file_is_named_and_written_anew(cached, images, towers_images, tmp_path, spoil):
    whole = cached.model.get_image_features(images, return_dict=True).patch_features
    path = files(tmp_path)[0]
    before = load_file(path)["features"].clone()  # the file is mapped into memory
    spoil(path)
    with pytest.warns(UserWarning, match=path.name):
        again = cached.model.get_image_features(images, return_dict=True).patch_features
    torch.testing.assert_close(again, whole)
    torch.testing.assert_close(load_file(path)["features"], before)
    assert towers_images == [3, 1]


def test_a_tower_that_trains_is_refused_by_the_name_of_a_weight(make_trainer, model, tmp_path):
    model.model.vision_tower.requires_grad_(False).encoder.layers[0].requires_grad_(True)
    with pytest.raises(ValueError, match=r"vision_feature_cache.*encoder\.layers\.0"):
        make_trainer(vision_feature_cache=tmp_path / "cache")


def test_a_tower_that_is_unfrozen_later_is_refused(cached, images):
    cached.model.vision_tower.requires_grad_(True)
    with pytest.raises(ValueError, match="needs a frozen vision tower"):
        cached.model.get_image_features(images)


def test_features_that_other_code_made_are_refused_before_any_is_read(cached, images, tmp_path, monkeypatch):
    cached.model.get_image_features(images)
    plain = CLIPVisionEmbeddings.forward
    monkeypatch.setattr(CLIPVisionEmbeddings, "forward", lambda self, *args, **kwargs: -plain(self, *args, **kwargs))
    cache_vision_features(cached, tmp_path / "cache")
    with pytest.raises(ValueError, match=r"does not give .*Delete that folder"):
        cached.model.get_image_features(images)


def test_features_are_those_of_evaluation_mode_also_where_the_tower_is_trained_around(cached, images):
    for layer in cached.model.vision_tower.encoder.layers:
        layer.self_attn.dropout = 0.5
    kept = cached.train().model.get_image_features(images, return_dict=True).patch_features
    del cached.model.vision_tower.forward
    assert torch.equal(kept, cached.eval().model.get_image_features(images, return_dict=True).patch_features)
