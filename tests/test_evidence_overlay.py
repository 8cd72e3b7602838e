"""Why a row was flagged, as a drawing."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from safe_llava import SafetyVerdict
from safe_llava.evidence_overlay import draw_evidence, draw_heat, find_seen_box, read_words
from safe_llava.models.safety_evidence import SafetyEvidence


GRAY = Image.new("RGB", (60, 30), (128, 128, 128))


def redness(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image, dtype=float)
    return pixels[..., 0] - pixels[..., 2]


def verdict_on(
    tokens: int, trusted: bool = True, safe: float = 0.0, images: int = 1, relevance: float = 3.0
) -> SafetyVerdict:
    """A verdict of privacy, from the upper left patch and the last token."""
    type_logits = torch.zeros(1, 7)
    type_logits[0, 4], type_logits[0, 6] = 9.0, safe
    maps, words = torch.zeros(images, 2, 2), torch.zeros(1, tokens)
    maps[0, 0, 0] = words[0, -1] = relevance if trusted else 0.0
    evidence = SafetyEvidence(torch.tensor([4]), torch.tensor([9.0 - safe]), [maps], words, torch.tensor([0.1]))
    return SafetyVerdict(
        torch.tensor([[0.0, 0.0, 0.0, 5.0]]), type_logits, torch.tensor([True]), torch.tensor([trusted]), evidence
    )


class TestSeenBox:
    def test_center_crop_leaves_out_both_ends_of_a_wide_image(self, tiny_processor):
        assert find_seen_box((90, 30), tiny_processor.image_processor) == (30.0, 0.0, 60.0, 30.0)

    def test_center_crop_is_found_in_the_images_own_pixels(self, tiny_processor):
        assert find_seen_box((600, 900), tiny_processor.image_processor) == (0.0, 150.0, 600.0, 750.0)

    def test_padding_to_a_square_reaches_beyond_the_image(self):
        processor = LlavaImageProcessorPil(do_pad=True)
        assert find_seen_box((200, 100), processor) == pytest.approx((0.0, -50.0, 200.0, 150.0))

    def test_a_crop_smaller_than_the_resized_image_cuts_its_border(self):
        processor = LlavaImageProcessorPil(size={"shortest_edge": 256}, crop_size={"height": 224, "width": 224})
        assert find_seen_box((256, 256), processor) == (16.0, 16.0, 240.0, 240.0)

    def test_a_squeezed_image_is_seen_whole(self):
        processor = SiglipImageProcessorPil(size={"height": 384, "width": 384})
        assert find_seen_box((200, 100), processor) == (0.0, 0.0, 200.0, 100.0)


def test_heat_lies_where_the_tower_saw_it():
    heat = np.zeros((2, 2))
    heat[0, 1] = 1.0
    red = redness(draw_heat(GRAY, heat, (15.0, 0.0, 45.0, 30.0), height=30))
    assert red[:10, 40:45].min() > 50
    assert abs(red[:, :15]).max() == abs(red[:, 45:]).max() == 0


def test_what_the_tower_never_saw_is_dimmed():
    pixels = np.asarray(draw_heat(GRAY, np.zeros((2, 2)), (15.0, 0.0, 45.0, 30.0), height=30))
    assert pixels[:, :15].max() < 60 and pixels[:, 45:].max() < 60
    assert pixels[:, 15:45].min() > 120


def test_words_join_their_tokens_and_leave_out_placeholders(tiny_processor):
    text = "<image>\nWho is Zoë?"
    ids = tiny_processor.tokenizer(text)["input_ids"]
    words = read_words(ids, [1.0] * len(ids), tiny_processor)
    assert [word for word, _ in words] == ["<s>", "Who", "is", "Zoë?"]


def test_words_share_out_all_relevance_of_the_text(tiny_processor):
    ids = tiny_processor.tokenizer("Who is Zoë?")["input_ids"]
    relevance = [0.0, *range(1, len(ids))]
    assert sum(value for _, value in read_words(ids, relevance, tiny_processor)) == sum(relevance)


def test_special_tokens_are_read_only_where_they_count(tiny_processor):
    ids = tiny_processor.tokenizer("Who?")["input_ids"]
    assert "<s>" not in [word for word, _ in read_words(ids, [0.0] + [1.0] * (len(ids) - 1), tiny_processor)]


@pytest.fixture
def draw(tiny_processor, make_image):
    def draw_one(images: int = 1, **verdict) -> Image.Image:
        input_ids = tiny_processor.tokenizer("Who is this?", return_tensors="pt")["input_ids"]
        row = verdict_on(input_ids.shape[1], images=images, **verdict)
        return draw_evidence(row, [GRAY] * images, input_ids, tiny_processor, height=60)

    return draw_one


def test_the_telling_word_is_coloured(draw):
    assert redness(draw())[-40:].max() > 50


def test_an_untrusted_verdict_is_drawn_without_heat(draw):
    untrusted = redness(draw(trusted=False))
    assert untrusted[60:].max() == 0  # Below the title.


def test_heat_fades_as_the_verdict_turns_to_safe(draw):
    assert redness(draw(safe=14.0))[60:].max() < 0.2 * redness(draw())[60:].max()


def test_patches_that_make_no_difference_are_not_drawn_as_a_finding(draw):
    assert redness(draw(relevance=0.01))[60:].max() < 0.2 * redness(draw())[60:].max()


def test_several_images_stand_side_by_side(draw):
    one, two = draw(1), draw(2)
    assert two.height == one.height and two.width == 2 * 120 + 3 * 14


def test_a_verdict_without_evidence_is_refused(tiny_processor):
    verdict = SimpleNamespace(evidence=None)
    with pytest.raises(ValueError, match="return_evidence=True"):
        draw_evidence(verdict, [GRAY], torch.zeros(1, 3), tiny_processor)


def test_another_number_of_images_is_refused(tiny_processor):
    with pytest.raises(ValueError, match="the row has 1, and 2 are given"):
        draw_evidence(verdict_on(3), [GRAY, GRAY], torch.zeros(1, 3), tiny_processor)
