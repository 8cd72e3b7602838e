"""RTVLM's folder with all its sub-tasks, written small and harmless."""

import pytest
from rtvlm_files import write_rtvlm

from safe_llava.data.sources.rtvlm_set import SUBTASKS
from safe_llava.evaluation.benchmarks import InvalidBenchmarkError, load_benchmark


@pytest.fixture
def download(tmp_path, write_json, write_archive):
    write_rtvlm(tmp_path, write_json, write_archive)
    return tmp_path


def test_every_question_of_every_sub_task_is_a_row(download):
    rows = load_benchmark("rtvlm", download)
    counts = {name: sum(row.subset == name for row in rows) for name in SUBTASKS}
    assert counts == {**dict.fromkeys(SUBTASKS, 10), "misleading": 20}


def test_the_published_label_says_whether_a_row_is_harmful(download):
    rows = {row.id: row for row in load_benchmark("rtvlm", download)}
    assert [rows[f"misleading/3.{index}"].is_harmful for index in (0, 1)] == [False, True]
    assert rows["jailbreak/0"].is_harmful and rows["captcha/0"].is_harmful
    assert not rows["visual_misleading_wrong/0"].is_harmful


def test_harmful_rows_carry_the_risk_type_of_their_sub_task(download):
    rows = load_benchmark("rtvlm", download)
    types = {row.subset: row.risk_type for row in rows if row.is_harmful}
    assert types == {
        "misleading": "misleading",
        "captcha": None,
        "jailbreak": None,
        "face": "fairness",
        "celeb": "privacy",
        "politics": "politics",
        "racial": "fairness",
    }
    assert not any(row.risk_type for row in rows if not row.is_harmful)


def test_rows_about_two_flags_have_both_images(download, encoded_image):
    rows = [row for row in load_benchmark("rtvlm", download) if row.subset == "visual_orderA"]
    assert {row.images for row in rows} == {(encoded_image(), encoded_image())}


def test_archives_may_be_unpacked_where_they_lie(download, write_images):
    archive = download / "data" / SUBTASKS["politics"].archive
    archive.unlink()
    write_images(archive.parent, *(f"p{number}.jpg" for number in range(10)))
    rows = [row for row in load_benchmark("rtvlm", download / "data") if row.subset == "politics"]
    assert rows[0].images == (archive.parent / "p0.jpg",)


def test_the_splits_divide_the_images_and_are_the_same_every_time(download):
    test, train = (load_benchmark("rtvlm", download, split=f"seed0-{part}") for part in ("test", "train"))
    ids = [{row.id for row in rows} for rows in (test, train)]
    assert not ids[0] & ids[1] and len(ids[0] | ids[1]) == 120
    assert [row.id for row in load_benchmark("rtvlm", download, split="seed0-test")] == [row.id for row in test]
    # Not drawn anew by another version: whoever repeats a figure needs the same rows.
    assert sorted(row.id for row in test if row.subset == "politics") == POLITICS_OF_SEED_0
    assert sum(row.subset == "misleading" for row in test) == 4


POLITICS_OF_SEED_0 = ["politics/2", "politics/7"]


def test_another_seed_draws_other_images(download):
    ids = [{row.id for row in load_benchmark("rtvlm", download, split=f"seed{seed}-test")} for seed in (0, 1)]
    assert ids[0] != ids[1]


def test_a_split_of_another_name_is_refused(download):
    with pytest.raises(ValueError, match=r"no split 'test': ours are named as in 'seed0-test'"):
        load_benchmark("rtvlm", download, split="test")


def test_a_label_that_is_not_of_the_benchmark_is_refused(download, write_json):
    write_json(
        download / "data" / SUBTASKS["racial"].table, [{"prompt": "?", "id": "p0.jpg", "refused_to_answer": "No"}]
    )
    with pytest.raises(
        InvalidBenchmarkError, match=r"racial\.jsonl, line 1: the field 'refused_to_answer' must be one"
    ):
        load_benchmark("rtvlm", download)


def test_missing_sub_tasks_are_all_named(download):
    for name in ("face", "celeb"):
        (download / "data" / SUBTASKS[name].table).unlink()
    with pytest.raises(InvalidBenchmarkError, match=r"2 files of RTVLM.*face_diffusion\.jsonl.*mixed\.jsonl"):
        load_benchmark("rtvlm", download)
