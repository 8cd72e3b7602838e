"""Whether evidence lies on the sign, with a model that is told where it is."""

from types import SimpleNamespace

import pytest
import torch
from transformers import BatchFeature

from safe_llava.evidence_figures import share_of_question
from safe_llava.miniature.conversations import sample_conversations
from safe_llava.miniature.evidence_scoring import score_evidence, sign_mask


@pytest.fixture(scope="module")
def conversations():
    return sample_conversations("test", 120)


@pytest.fixture(scope="module")
def risky(conversations):
    """Those that count: risky by a sign in their only image."""
    kinds = ("risky", "pair_risky")
    return [row for row in conversations if row.kind in kinds and len(row.scenes) == 1 and row.scenes[0].sign]


class StandIn:
    """Model and processor in one; what it finds is given, a map for each image in turn."""

    device = "cpu"

    def __init__(self, maps, processor):
        self.maps = iter(maps)
        self.tokenizer, self.image_token_id = processor.tokenizer, processor.image_token_id

    def apply_chat_template(self, messages, **kwargs):
        return messages[-1]["content"][-1]["text"]

    def __call__(self, images, text, **kwargs):
        return BatchFeature(self.tokenizer(text, padding=True, return_tensors="pt"))

    def assess(self, input_ids, return_evidence, **kwargs):
        maps = [next(self.maps).float()[None] for _ in input_ids]
        words = input_ids.ne(self.tokenizer.pad_token_id).float()
        return SimpleNamespace(evidence=SimpleNamespace(patch_relevance=maps, word_relevance=words))


@pytest.fixture
def score(tiny_processor):
    def score_maps(maps, conversations):
        stand_in = StandIn(maps, tiny_processor)
        return score_evidence(stand_in, stand_in, conversations, batch_size=7)

    return score_maps


def test_evidence_on_the_sign_is_perfect(score, conversations, risky):
    figures = score([sign_mask(row.scenes[0], (6, 6)) for row in risky], conversations)
    assert (figures["pointing_rate"], figures["energy_share"]) == (1.0, pytest.approx(1.0))
    assert figures["counts"]["images"] == len(risky)


def test_evidence_beside_the_sign_is_worth_nothing(score, conversations, risky):
    figures = score([~sign_mask(row.scenes[0], (6, 6)) for row in risky], conversations)
    assert (figures["pointing_rate"], figures["energy_share"]) == (0.0, 0.0)


def test_no_evidence_hits_nothing(score, conversations, risky):
    figures = score([torch.zeros(6, 6)] * len(risky), conversations)
    assert (figures["pointing_rate"], figures["energy_share"]) == (0.0, 0.0)


def test_even_evidence_has_the_signs_area(score, conversations, risky):
    figures = score([torch.ones(6, 6)] * len(risky), conversations)
    assert figures["energy_share"] == pytest.approx(figures["sign_area"]) == pytest.approx(4 / 9)


def test_habit_alone_scores_as_well_shuffled(score, conversations, risky):
    center = torch.zeros(6, 6)
    center[2:4, 2:4] = 1.0
    figures = score([center] * len(risky), conversations)
    assert figures["energy_share"] == figures["shuffled_energy_share"]


def test_nothing_is_measured_without_risky_images(score, conversations):
    figures = score([], [row for row in conversations if row.kind == "harmless"])
    assert figures["pointing_rate"] is None and figures["counts"]["images"] == 0


def test_the_questions_whose_risk_is_in_the_pair_are_counted(score, conversations, risky):
    figures = score([torch.ones(6, 6)] * len(risky), conversations)
    assert figures["counts"]["questions"] == sum(row.kind == "pair_risky" for row in risky) > 0
    assert 0 < figures["question_share"] <= 1


def test_a_question_is_found_where_it_was_asked_last():
    words = [("Who?", 4.0), ("A:", 0.0), ("Ann.", 1.0), ("Who?", 3.0), ("Hint.", 0.0)]
    assert share_of_question(words, "Who?") == (3 / 8, 1 / 5)


def test_words_without_relevance_give_the_question_none():
    assert share_of_question([("Who?", 0.0), ("A:", 0.0)], "Who?") == (0.0, 0.5)


def test_the_sign_is_found_on_any_patch_grid(risky):
    scene = risky[0].scenes[0]
    assert sign_mask(scene, (3, 3)).nonzero().tolist() == sorted(map(list, scene.sign.cells))
    assert sign_mask(scene, (24, 24)).sum() == 24 * 24 * 4 / 9
