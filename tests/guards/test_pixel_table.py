"""A table encodes images as their image processor does, to the last bit, or there is none."""

import pytest
import torch
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from safe_llava.guards.pixel_table import PixelTable


SQUARE = {"height": 30, "width": 30}
EXACT = {
    "CLIP": CLIPImageProcessorPil(size={"shortest_edge": 30}, crop_size=SQUARE),
    "CLIP, odd crop of a larger edge": CLIPImageProcessorPil(
        size={"shortest_edge": 41}, crop_size={"height": 30, "width": 33}
    ),
    "CLIP, a crop beyond the image": CLIPImageProcessorPil(size={"shortest_edge": 21}, crop_size=SQUARE),
    "CLIP, not normalised": CLIPImageProcessorPil(size={"shortest_edge": 30}, crop_size=SQUARE, do_normalize=False),
    "CLIP, cropped alone": CLIPImageProcessorPil(do_resize=False, crop_size=SQUARE),
    "SigLIP": SiglipImageProcessorPil(size=SQUARE),
    "SigLIP, bilinear": SiglipImageProcessorPil(size={"height": 30, "width": 18}, resample=2),
}
OTHER = {
    "LLaVA-NeXT": LlavaNextImageProcessorPil(
        size={"shortest_edge": 30}, crop_size=SQUARE, image_grid_pinpoints=[[30, 60]]
    ),
    "LLaVA-OneVision": LlavaOnevisionImageProcessorPil(size=SQUARE, image_grid_pinpoints=[[30, 60]]),
    "images of all shapes": CLIPImageProcessorPil(size={"shortest_edge": 30}, do_center_crop=False),
    "images as they are": CLIPImageProcessorPil(do_resize=False, do_center_crop=False),
}
SIZES = [(1, 1), (1, 9), (9, 1), (30, 30), (31, 29), (40, 30), (99, 100), (101, 333), (640, 480), (1000, 77)]


@pytest.mark.parametrize("name", EXACT)
def test_every_bit_is_that_of_the_image_processor_at_every_size(name, make_image):
    processor = EXACT[name]
    table = PixelTable.of(processor)
    for seed, size in enumerate(SIZES):
        images = [make_image(seed, *size), make_image(seed + 1, 64, 48)]
        expected, found = processor([images], return_tensors="pt"), table.encode(images)
        assert found.keys() == expected.keys()
        assert torch.equal(found["pixel_values"], expected["pixel_values"]), size


@pytest.mark.parametrize("name", OTHER)
def test_there_is_none_for_a_processor_that_does_more(name):
    assert PixelTable.of(OTHER[name]) is None
