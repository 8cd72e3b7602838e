"""Each run is kept as soon as it is finished, in one file that no interruption leaves torn."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from recipes.study.runs_file import keep_run, read_runs, runs_path


def finished(cell: str, seed: int, rate: float | None = 0.1) -> dict:
    return {"key": "k", "cell": cell, "seed": seed, "claims": {"risky": {"unsafe_answer_rate": rate}}}


def test_a_study_begins_with_no_runs(tmp_path):
    assert read_runs(tmp_path) == {}


def test_what_is_kept_is_read_to_the_last_digit(tmp_path):
    run = finished("ours", 0, rate=1 / 3)
    keep_run(tmp_path, run)
    assert read_runs(tmp_path) == {("ours", 0): run}


def test_a_run_takes_the_place_of_an_older_one_of_its_cell_and_seed(tmp_path):
    for rate in (0.1, 0.2):
        keep_run(tmp_path, finished("ours", 0, rate))
    keep_run(tmp_path, finished("ours", 1))
    assert read_runs(tmp_path)["ours", 0]["claims"]["risky"]["unsafe_answer_rate"] == 0.2
    assert len(runs_path(tmp_path).read_text().splitlines()) == 2


def test_runs_that_finish_at_once_are_all_kept(tmp_path):
    runs = [finished(cell, seed) for cell in ("base", "ours") for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda run: keep_run(tmp_path, run), runs))
    assert list(read_runs(tmp_path).values()) == runs


def test_a_run_that_cannot_be_written_leaves_the_others_as_they_were(tmp_path):
    keep_run(tmp_path, finished("ours", 0))
    with pytest.raises(ValueError):
        keep_run(tmp_path, finished("ours", 1, rate=float("nan")))
    assert list(read_runs(tmp_path)) == [("ours", 0)]
