"""What the head reads of an image that is cut: the base tile, or every tile, each at its place."""

import copy

import pytest
import torch
from steering import images_of
from transformers import AutoModelForImageClassification, pipeline

from safe_llava import SafeLlavaConfig
from safe_llava.models.image_tiles import TileGrid, merge_tiles
from safe_llava.models.safety_trust import record_training
from tests.family_members import add_safety


# Of two tiles beside the base tile, of one, and of the four that a square of twice the edge takes.
SIZES = [(40, 30), (30, 30), (60, 60)]


def chat(processor, make_image, sizes, question="Who?"):
    images = [{"type": "image", "image": make_image(seed, *size)} for seed, size in enumerate(sizes)]
    conversation = [{"role": "user", "content": [*images, {"type": "text", "text": question}]}]
    options = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
    return processor.apply_chat_template(conversation, **options)


@pytest.fixture(scope="module")
def reading(tiny_llava):
    """The member with a head that reads "base" or "all"."""
    models = {}

    def build(tiles):
        if tiles not in models:
            models[tiles] = add_safety(tiny_llava, safety_tiles=tiles)
            record_training(models[tiles])
        return models[tiles]

    return build


def changed_tiles(model, inputs):
    """Of each tile whether the verdict changes with its pixels."""
    verdict = model.assess(**inputs).type_logits
    changed = []
    for place in range(inputs["pixel_values"].shape[1]):
        other = copy.deepcopy(inputs)
        other["pixel_values"][:, place] += 1
        changed.append(not torch.allclose(model.assess(**other).type_logits, verdict, atol=1e-6))
    return changed


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_head_reads_the_tiles_that_it_is_asked_to_and_no_other(size, reading, tiny_processor, make_image):
    inputs = chat(tiny_processor, make_image, [size])
    tiles = inputs["pixel_values"].shape[1]
    assert changed_tiles(reading("base"), inputs) == [True] + [False] * (tiles - 1)
    assert changed_tiles(reading("all"), inputs) == [True] * tiles


@pytest.mark.parametrize("tiles", ["base", "all"])
def test_the_guards_tower_sees_no_more_than_the_head_reads(tiles, reading, tiny_processor, make_image, tmp_path):
    reading(tiles).save_pretrained(tmp_path)
    guard = AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    inputs = chat(tiny_processor, make_image, SIZES)
    numbers = [grid.num_tiles for grid in guard.model.find_tiles(**images_of(inputs))]
    assert guard.explain_distrust() is None
    seen = []
    guard.model.vision_tower.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    verdict = guard.assess(**inputs)
    assert seen == [len(SIZES) if tiles == "base" else sum(numbers)]
    torch.testing.assert_close(verdict.level_logits, reading(tiles).assess(**inputs).level_logits)


def test_a_tile_counts_by_its_place(reading, tiny_processor, make_image):
    model, inputs = reading("all"), chat(tiny_processor, make_image, [(60, 60)])
    other = copy.deepcopy(inputs)
    other["pixel_values"][:, 1:] = inputs["pixel_values"][:, 1:].flip(1)
    assert not torch.allclose(model.assess(**other).type_logits, model.assess(**inputs).type_logits, atol=1e-6)


def test_what_fills_up_a_row_of_the_batch_is_not_read(reading, tiny_processor, make_image):
    model, inputs = reading("all"), chat(tiny_processor, make_image, [(30, 30)])
    filled = copy.deepcopy(inputs)
    filled["pixel_values"] = torch.cat([inputs["pixel_values"], torch.ones_like(inputs["pixel_values"])], dim=1)
    assert torch.equal(model.assess(**filled).type_logits, model.assess(**inputs).type_logits)


def test_each_of_several_images_is_assessed_alone_with_all_its_tiles(reading, tiny_processor, make_image):
    model = reading("all")
    verdict = model.assess(**chat(tiny_processor, make_image, SIZES))
    assert verdict.separate.images.tolist() == [-1, 0, 1, 2]
    if "batch_num_images" in model.image_arguments:  # Which cuts none of several.
        return
    for place, size in enumerate(SIZES):
        inputs = chat(tiny_processor, lambda seed, *size, place=place: make_image(place, *size), [size])
        alone = model.assess(**inputs)
        torch.testing.assert_close(alone.type_logits[0], verdict.separate.type_logits[1 + place], atol=1e-4, rtol=1e-4)


def test_evidence_lies_on_the_finest_grid_that_the_head_reads(reading, tiny_processor, make_image):
    for tiles, edge in (("base", 5), ("all", 10)):
        inputs = chat(tiny_processor, make_image, SIZES)
        (maps,) = reading(tiles).assess(**inputs, return_evidence=True).evidence.patch_relevance
        assert maps.shape == (3, edge, edge)


def test_features_of_base_tiles_alone_are_refused(reading, tiny_processor, make_image):
    inputs = chat(tiny_processor, make_image, SIZES)
    features = reading("base").get_image_features(**images_of(inputs))
    with pytest.raises(ValueError, match="holds base tiles alone"):
        reading("all").assess(inputs["input_ids"], mm_encoder_outputs={"image": features})


def test_features_of_some_images_keep_all_their_tiles(reading, tiny_processor, make_image):
    features = reading("all").get_image_features(**images_of(chat(tiny_processor, make_image, SIZES)))
    chosen = features.select([2, 0])
    parts = features.patch_features.split([grid.num_tiles for grid in features.tiles])
    assert torch.equal(chosen.patch_features, torch.cat([parts[2], parts[0]]))
    assert chosen.tiles == [features.tiles[2], features.tiles[0]] and chosen.num_images == 2


def test_a_model_that_cuts_no_images_has_no_tiles_to_read():
    with pytest.raises(ValueError, match="safe_llava cuts no images"):
        SafeLlavaConfig(safety_tiles="all")


class TestMergedMaps:
    def test_each_tile_lies_at_its_place(self):
        maps = torch.zeros(5, 2, 2)
        maps[2, 0, 1] = 1.0  # the tile at the top right
        (merged,) = merge_tiles(maps, [TileGrid(2, 2, (80, 80))], (4, 4))
        assert merged.nonzero().tolist() == [[0, 3]]

    def test_what_fills_up_tiles_is_no_part_of_the_image(self):
        maps = torch.zeros(3, 4, 4)
        maps[1, 0, 2] = 1.0  # the left edge of a square in the middle of two tiles side by side
        (merged,) = merge_tiles(maps, [TileGrid(1, 2, (40, 40))], (4, 4))
        assert merged.nonzero().tolist() == [[0, 0]]

    @pytest.mark.parametrize("heat", [1.0, 1e4])
    def test_heat_on_nothing_but_the_bars_leaves_an_empty_map(self, heat):
        maps = torch.zeros(3, 4, 4)
        maps[1, 0, 0] = heat
        (merged,) = merge_tiles(maps, [TileGrid(1, 2, (40, 40))], (4, 4))
        assert torch.equal(merged, torch.zeros(4, 4))

    @pytest.mark.parametrize("size", [(1, 400), (400, 1), (31, 97)], ids=str)
    def test_the_sum_stays(self, size):
        maps = torch.rand(5, 5, 5, generator=torch.Generator().manual_seed(0))
        merged = merge_tiles(maps, [TileGrid(2, 2, size)], (10, 10))
        assert merged.sum().item() == pytest.approx(maps.sum().item(), rel=1e-4)
        assert merged.min() >= 0


def test_crops_are_refused_where_the_model_cuts_images_itself(tiny_safe_llava, tiny_processor, make_image):
    pipe = pipeline("safety-classification", model=tiny_safe_llava, processor=tiny_processor)
    with pytest.raises(ValueError, match="cuts images itself"):
        pipe(make_image(0), tiles=2)
