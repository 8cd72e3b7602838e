"""The plan of memory per GPU: what each way shares, and activations counted without memory."""

import pytest
import torch

from recipes.benchmark.memory_plan import count_activations, count_parameters, make_model, share
from recipes.benchmark.shapes import TILED_SHAPES, base_config, safe_config
from recipes.benchmark.training_ways import make_batch


COUNTS = {"frozen": 8_000, "trained": 80, "decoder_layer": 100, "outside_layers": 200}


def test_adam_on_one_gpu_holds_sixteen_bytes_for_a_trained_weight_and_two_for_a_frozen_one():
    for way in ("DDP", "ZeRO-2", "FSDP2"):
        assert sum(share(COUNTS, way, 1).values()) == 2 * 8_000 + 16 * 80


def test_zero_2_shares_gradients_and_optimizer_and_keeps_the_parameters_whole():
    one, eight = (share(COUNTS, "ZeRO-2", gpus) for gpus in (1, 8))
    assert eight["parameters"] == one["parameters"]
    assert (8 * eight["gradients"], 8 * eight["optimizer"]) == (one["gradients"], one["optimizer"])


def test_fsdp2_shares_everything_but_what_is_gathered():
    gathered = 2 * (2 * 100 + 200)
    assert share(COUNTS, "FSDP2", 8)["parameters"] == (2 * 8_000 + 4 * 80) / 8 + gathered


def test_seven_billion_parameters_are_counted_without_their_memory():
    config = safe_config(base_config("llava-1.5-7b"))
    counts = count_parameters(make_model(config, 1, "meta", torch.bfloat16))
    assert 7.0e9 < counts["frozen"] < 7.1e9
    assert 1.07e8 < counts["trained"] < 1.09e8


def test_checkpointing_leaves_less_than_a_quarter_of_the_activations_at_the_mid_shape():
    found = count_activations("mid", 1, 1, torch.float32)
    assert 0 < 4 * found["checkpointed"] < found["kept"]


@pytest.mark.parametrize("shape", TILED_SHAPES)
def test_a_row_whose_image_is_cut_has_as_many_placeholders_as_the_model_makes(shape):
    config = safe_config(base_config(shape))
    config.text_config.num_hidden_layers = 1
    batch = make_batch(config, 1, torch.bfloat16)
    model = make_model(config, 1, "meta", torch.bfloat16)
    pixels = batch["pixel_values"].to("meta")
    (rows,) = model.get_image_features(pixels, image_sizes=batch["image_sizes"]).pooler_output
    assert (batch["input_ids"] == config.image_token_id).sum() == len(rows)
