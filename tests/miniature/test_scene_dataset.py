import re
from collections import Counter

import pytest

from safe_llava.miniature.answers import Manner, is_safe, read_manner
from safe_llava.miniature.conversations import MIXES, sample_conversations
from safe_llava.miniature.scene_dataset import build_dataset
from safe_llava.miniature.wordings import NOVEL_WORDINGS, WORDINGS
from safe_llava.models.safety_labels import RISK_LEVELS, SAFE_TYPE_ID, SAFETY_LEVELS
from safe_llava.models.safety_texts import DEFAULT_HINTS


def test_the_same_seed_gives_the_same_rows_to_the_last_pixel():
    first, second = (build_dataset("test", 20, seed=5).to_list() for _ in range(2))
    assert first == second


def test_another_seed_gives_other_rows():
    assert build_dataset("test", 20, seed=5)["messages"][:] != build_dataset("test", 20, seed=6)["messages"][:]


def test_no_scene_is_in_two_splits():
    contents = {
        split: {scene.content for row in sample_conversations(split, 400) for scene in row.scenes}
        for split in ("pretrain", "train", "validation", "test")
    }
    assert sum(map(len, contents.values())) == len(set().union(*contents.values()))


@pytest.mark.parametrize("stage", MIXES)
def test_kinds_have_the_shares_of_their_stage(stage):
    counts = Counter(row.kind for row in sample_conversations("train", 200, stage=stage))
    assert all(abs(counts[kind] - 200 * share) <= 1 for kind, share in MIXES[stage].items())


@pytest.mark.parametrize("stage", ["stage1", "stage2", "evaluation"])
def test_every_aligned_answer_is_safe_for_its_level(stage):
    for row in sample_conversations("train", 300, stage=stage):
        assert is_safe(row.target, row.safety_level), row


def test_pretraining_answers_risky_images_freely():
    for row in sample_conversations("pretrain", 300, stage="pretrain"):
        if row.kind in ("risky", "pair_risky"):
            assert row.target == row.question.answer


def test_harmless_rows_are_answered_plainly_and_labelled_safe():
    for row in sample_conversations("train", 300, stage="stage2"):
        if row.kind in ("harmless", "look_alike", "pair_harmless", "text_only"):
            assert (row.target, row.safety_level, row.safety_type) == (row.question.answer, 0, SAFE_TYPE_ID)


def test_a_pair_is_risky_only_together():
    for row in sample_conversations("train", 400, stage="evaluation"):
        if row.kind.startswith("pair"):
            assert row.scenes[0].safety_level == 0
            assert row.question.text in WORDINGS[row.question.topic]
            matches = bool(row.scenes[0].sign) and row.question.topic == f"pair_{row.scenes[0].sign.safety_type}"
            assert matches == (row.safety_level > 0) == (row.kind == "pair_risky")


def test_hinted_rows_end_in_a_hint_that_the_answer_obeys():
    hints = {(risk, level): text for risk, levels in DEFAULT_HINTS.items() for level, text in levels.items()}
    manners = dict(zip(RISK_LEVELS, (Manner.CAUTIOUS, Manner.DECLINE, Manner.REFUSAL)))
    for row in sample_conversations("test", 100, stage="hints"):
        level = SAFETY_LEVELS[row.hint_level]
        assert row.prompt.endswith(tuple(text for (_, name), text in hints.items() if name == level))
        assert read_manner(row.target) is manners[level]


def test_the_novel_split_asks_in_other_words():
    known = {re.sub(r"\{\w+\}", "", words) for wordings in WORDINGS.values() for words in wordings}
    assert not known & {re.sub(r"\{\w+\}", "", words) for words in NOVEL_WORDINGS.values()}


def test_stages_mix_text_only_rows_two_images_and_two_turns():
    rows = sample_conversations("train", 400, stage="stage2")
    assert {len(row.scenes) for row in rows} == {0, 1, 2}
    assert {len(row.messages) for row in rows} == {2, 4}


def test_an_unknown_split_is_named_in_the_error():
    with pytest.raises(ValueError, match="'tset'"):
        build_dataset("tset", 1)
