"""Crops of an image beside it: what is small in all of it is large in one of them, and the gravest verdict decides."""

import numpy as np
import pytest
from PIL import Image
from transformers import pipeline

from safe_llava.models.image_crops import add_crops, cut_crops


@pytest.mark.parametrize("number", [2, 3, 5])
@pytest.mark.parametrize("size", [(60, 60), (97, 41), (7, 5), (1, 1)], ids=str)
def test_whatever_is_smaller_than_a_step_lies_whole_in_some_crop(size, number):
    width, height = size
    places = np.arange(width * height, dtype=np.int32).reshape(height, width)
    crops = [np.asarray(crop) for crop in cut_crops(Image.fromarray(places, "I"), number)]
    assert len(crops) == number**2
    step_x, step_y = max(1, width // (number + 1)), max(1, height // (number + 1))
    for top in range(height - step_y + 1):
        for left in range(width - step_x + 1):
            corners = places[top, left], places[top + step_y - 1, left + step_x - 1]
            assert any(np.isin(corners, crop).all() for crop in crops), (top, left)


@pytest.mark.parametrize("number", [-1, 0, 1])
def test_less_than_two_crops_a_side_are_refused(number):
    with pytest.raises(ValueError, match="2 or more"):
        cut_crops(Image.new("RGB", (8, 8)), number)


def test_each_image_is_followed_by_its_own_crops():
    images = [Image.new("RGB", (12, 12), color) for color in ("red", "blue")]
    seen = add_crops(images, 2, cuts_images=False)
    assert [image.getpixel((0, 0)) for image in seen] == [(255, 0, 0)] * 5 + [(0, 0, 255)] * 5
    assert add_crops(images, None, cuts_images=True) == images


class TestInThePipeline:
    @pytest.fixture(scope="class")
    def pipe(self, tiny_safe_llava, tiny_processor):
        return pipeline("safety-classification", model=tiny_safe_llava, processor=tiny_processor)

    def test_the_verdict_is_that_of_a_row_of_the_image_and_its_crops(self, pipe, make_image):
        image = make_image(0, 60, 60)
        together = pipe({"images": [image, *cut_crops(image, 2)], "text": "Who?"})
        assert pipe({"image": image, "text": "Who?"}, tiles=2) == together

    def test_chats_are_refused_with_tiles(self, pipe, make_image):
        content = [{"type": "image", "image": make_image(0)}, {"type": "text", "text": "Who?"}]
        with pytest.raises(ValueError, match="not for chats"):
            pipe([{"role": "user", "content": content}], tiles=2)

    def test_a_text_alone_has_nothing_to_cut(self, pipe):
        assert pipe({"text": "Who?"}, tiles=2) == pipe({"text": "Who?"})
