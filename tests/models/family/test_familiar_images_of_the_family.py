"""Members of the family, which cut images, know those that are unlike the ones of the calibration."""

import copy


def test_a_row_with_a_strange_image_is_unfamiliar(discerning_safe_llava, tiny_processor, make_image, strange_image):
    model = copy.deepcopy(discerning_safe_llava)
    rows = [[make_image(7)], [strange_image], [make_image(7), strange_image]]
    found = []
    for images in rows:
        inputs = tiny_processor(images=[images], text="<image> " * len(images) + "What ?", return_tensors="pt")
        found += model.assess(**inputs).distrust
    assert found == [None, "unfamiliar", "unfamiliar"]
