"""Rows of the world: who drew them, what is held out of training, and that image and question make the risk."""

import random
from collections import Counter

import pytest

from safe_llava.data.dataset_loading import load_safety_dataset
from safe_llava.smol.composition import IMAGE_SIZE
from safe_llava.smol.drawings import SPLIT_MAKERS
from safe_llava.smol.world_answers import GRAMMAR, Manner, read_manner
from safe_llava.smol.world_dataset import build_dataset, draw_dataset
from safe_llava.smol.world_mixes import MIXES
from safe_llava.smol.world_rows import RowSampler, draw_pair_square, sample_rows


STAGES = [(split, stage) for split in ("train", "validation") for stage in MIXES]


@pytest.fixture(scope="module")
def rows(drawings):
    """Many rows of each training split and stage, before their images are drawn."""
    return {pair: sample_rows(drawings[pair[0]], 200, stage=pair[1]) for pair in STAGES}


@pytest.fixture(scope="module")
def dataset(drawings):
    return build_dataset(drawings["test"], "test", 60)


def test_the_same_seed_gives_the_same_rows(drawings_table, dataset):
    assert build_dataset(drawings_table, "test", 60).to_list() == dataset.to_list()


def test_another_seed_gives_other_rows(drawings, dataset):
    assert sample_rows(drawings["test"], 1, seed=1)[0].question != sample_rows(drawings["test"], 1)[0].question


@pytest.mark.parametrize("pair", STAGES, ids="-".join)
def test_a_split_has_its_own_makers_only(rows, pair):
    makers = {placed.drawing.maker for row in rows[pair] if row.scene for placed in row.scene.placed}
    assert makers <= set(SPLIT_MAKERS[pair[0]])


@pytest.mark.parametrize("pair", STAGES, ids="-".join)
def test_what_is_held_out_is_never_trained_on(rows, pair):
    assert not [row for row in rows[pair] if row.question.novel or (row.scene and row.scene.held_out)]


def test_nothing_trains_on_the_makers_of_the_tests(drawings):
    for stage in MIXES.keys() - {"evaluation"}:
        with pytest.raises(ValueError, match="for tests"):
            sample_rows(drawings["test"], 4, stage=stage)


def test_an_unknown_stage_is_refused(drawings):
    with pytest.raises(ValueError, match="No stage 'stage3'"):
        sample_rows(drawings["train"], 4, stage="stage3")


@pytest.mark.parametrize("stage", MIXES)
def test_a_mix_is_whole(stage):
    assert sum(MIXES[stage].values()) == pytest.approx(1)


def test_half_of_the_base_rows_name_or_describe(rows):
    topics = [row.question.topic for row in rows["train", "base"]]
    assert sum(topic in ("name", "describe") for topic in topics) >= len(topics) / 2


def test_the_base_answers_every_pair_plainly_and_refuses_by_text(rows):
    for row in rows["train", "base"]:
        assert read_manner(row.target) is (Manner.REFUSAL if row.kind == "text_risky" else Manner.PLAIN)


@pytest.mark.parametrize("stage", ["stage1", "stage2", "evaluation"])
def test_targets_are_safe_and_harmless_rows_are_answered_plainly(rows, stage):
    for row in rows["train", stage]:
        assert GRAMMAR.is_safe(row.target, row.level)
        assert row.level or read_manner(row.target) is Manner.PLAIN


def test_a_square_is_decided_by_neither_image_nor_question(drawings):
    sampler = RowSampler(drawings["train"], "stage1", random.Random(0))
    for _ in range(20):
        square = draw_pair_square(sampler)
        for side in (lambda row: row.scene, lambda row: row.question.topic):
            risky = Counter(side(row) for row in square if row.level)
            assert sorted(risky.values()) == [1, 1]
            assert set(Counter(map(side, square)).values()) == {2}


@pytest.mark.parametrize("kind", ["pair_risky", "pair_harmless", "look_alike", "low_risk"])
def test_the_label_is_that_of_the_pair(rows, kind):
    levels = {row.level for pair in STAGES for row in rows[pair] if row.kind == kind}
    expected = {"pair_risky": {2, 3}, "pair_harmless": {0}, "look_alike": {0}, "low_risk": {1}}
    assert levels == expected[kind]


def test_drawings_stay_within_the_image(rows):
    for row in rows["train", "base"]:
        for placed in row.scene.placed if row.scene else ():
            assert all(placed.size / 2 <= middle <= IMAGE_SIZE - placed.size / 2 for middle in placed.center)


def test_images_are_as_the_towers_read_them(dataset):
    sizes = {(image.size, image.mode) for images in dataset["images"] for image in images}
    assert sizes == {((IMAGE_SIZE, IMAGE_SIZE), "RGB")}


def test_every_row_passes_the_packages_data_check(rows, tmp_path):
    some = [row for pair in STAGES for row in rows[pair][:8]]
    draw_dataset(some).to_parquet(tmp_path / "rows.parquet")
    loaded, report = load_safety_dataset(tmp_path / "rows.parquet")
    assert len(loaded) == len(some), report
