"""What holds for every benchmark."""

import pytest

from safe_llava.data.sources.label_map import single_risk_type
from safe_llava.data.sources.rtvlm_set import RTVLM
from safe_llava.data.sources.vlguard_set import VLGUARD
from safe_llava.evaluation.benchmarks import (
    BENCHMARKS,
    BenchmarkRow,
    InvalidBenchmarkError,
    figstep,
    holisafe,
    load_benchmark,
    mm_safetybench,
    siuo,
    vlsbench,
)
from safe_llava.models.safety_labels import RISK_TYPES


def test_an_unknown_benchmark_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="no benchmark 'figsteps'; there are rtvlm, mm_safetybench, figstep"):
        load_benchmark("figsteps", tmp_path)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_path_that_does_not_exist_is_refused(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{name} was downloaded to"):
        load_benchmark(name, tmp_path / "nothing")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_split_that_a_benchmark_does_not_have_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match=f"{name} has no split 'validation'"):
        load_benchmark(name, tmp_path, split="validation")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_an_empty_folder_is_refused(name, tmp_path):
    with pytest.raises(InvalidBenchmarkError):
        load_benchmark(name, tmp_path)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_file_of_something_else_is_refused(name, tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(InvalidBenchmarkError):
        load_benchmark(name, tmp_path / "notes.txt")


def test_rows_that_share_an_id_are_refused(tmp_path, monkeypatch):
    rows = [BenchmarkRow(id="1", question="?", images=(), is_harmful=False)] * 2
    monkeypatch.setitem(BENCHMARKS, "xstest", lambda path, split: rows)
    with pytest.raises(InvalidBenchmarkError, match="rows must have ids of their own, but 1 recur"):
        load_benchmark("xstest", tmp_path)


def test_a_rows_images_can_be_read_wherever_they_are(tmp_path, encoded_image):
    (tmp_path / "1.png").write_bytes(encoded_image())
    row = BenchmarkRow(id="1", question="?", images=(tmp_path / "1.png", b"encoded"), is_harmful=False)
    assert row.read_images() == (encoded_image(), b"encoded")


@pytest.mark.parametrize(
    "table",
    [
        figstep.RISK_TYPE_OF_TOPIC,
        holisafe.RISK_TYPE_OF_SUBCATEGORY,
        mm_safetybench.RISK_TYPE_OF_SCENARIO,
        siuo.RISK_TYPE_OF_CATEGORY,
        vlsbench.RISK_TYPE_OF_CATEGORY,
        {name: single_risk_type(ours) for name, ours in VLGUARD.categories.items()},
        {name: single_risk_type(ours) for name, ours in RTVLM.categories.items()},
    ],
)
def test_categories_become_our_risk_types_or_none(table):
    assert set(table.values()) <= {*RISK_TYPES, None}
