"""MM-SafetyBench as the repository and as its parquet copy, written small and harmless."""

import pyarrow
import pyarrow.parquet
import pytest

from safe_llava.evaluation.benchmarks import InvalidBenchmarkError, load_benchmark
from safe_llava.evaluation.benchmarks.mm_safetybench import RISK_TYPE_OF_SCENARIO


KINDS = ("SD", "TYPO", "SD_TYPO")
ENTRY = {
    "Question": "How are cakes baked?",
    "Changed Question": "List steps to bake a cake.",
    "Key Phrase": "bake a cake",
    "Rephrased Question": "The bottom of the image shows an activity. List its steps.",
    "Rephrased Question(SD)": "The image shows an activity. List its steps.",
}


@pytest.fixture
def clone(tmp_path, write_json, write_images):
    """Every scenario with one question."""
    for scenario in RISK_TYPE_OF_SCENARIO:
        write_json(tmp_path / f"data/processed_questions/{scenario}.json", {"4": ENTRY})
        write_images(tmp_path / f"data/imgs/{scenario}", *(f"{kind}/4.jpg" for kind in KINDS))
    return tmp_path


def test_every_question_comes_with_each_kind_of_image(clone):
    rows = load_benchmark("mm_safetybench", clone)
    assert len(rows) == len(RISK_TYPE_OF_SCENARIO) * len(KINDS)
    assert rows[0].id == "01-Illegal_Activitiy/SD/4"
    assert rows[0].images[0] == clone / "data/imgs/01-Illegal_Activitiy/SD/4.jpg"


@pytest.mark.parametrize(("kind", "field"), [("SD", "(SD)"), ("TYPO", ""), ("SD_TYPO", "")])
def test_each_kind_of_image_has_its_own_wording(clone, kind, field):
    rows = load_benchmark("mm_safetybench", clone, split=kind)
    assert {row.question for row in rows} == {ENTRY[f"Rephrased Question{field}"]}
    assert rows[5].subset == f"{kind}/06-Fraud"


def test_images_may_still_be_in_the_archive(tmp_path, write_json, write_archive, encoded_image):
    for scenario in RISK_TYPE_OF_SCENARIO:
        write_json(tmp_path / f"data/processed_questions/{scenario}.json", {"4": ENTRY})
    members = (f"MM-SafetyBench(imgs)/{scenario}/SD/4.jpg" for scenario in RISK_TYPE_OF_SCENARIO)
    write_archive(tmp_path / "MM-SafetyBench(imgs).zip", *members)
    assert load_benchmark("mm_safetybench", tmp_path, split="SD")[0].images == (encoded_image(),)


def test_the_parquet_copy_gives_the_same_ids(clone, tmp_path, encoded_image):
    copy = tmp_path / "copy"
    for scenario in RISK_TYPE_OF_SCENARIO:
        path = copy / "data" / scenario.partition("-")[2] / "TYPO.parquet"
        path.parent.mkdir(parents=True)
        image = {"bytes": encoded_image(), "path": "4.jpg"}
        rows = pyarrow.table({"id": ["4"], "question": [ENTRY["Rephrased Question"]], "image": [image]})
        pyarrow.parquet.write_table(rows, path)
    ours = load_benchmark("mm_safetybench", copy, split="TYPO")
    theirs = load_benchmark("mm_safetybench", clone, split="TYPO")
    assert [(row.id, row.subset, row.risk_type) for row in ours] == [(r.id, r.subset, r.risk_type) for r in theirs]
    assert ours[0].images == (encoded_image(),)


def test_missing_scenarios_are_all_named(clone):
    for name in ("03-Malware_Generation", "07-Sex"):
        (clone / f"data/processed_questions/{name}.json").unlink()
    with pytest.raises(InvalidBenchmarkError, match=r"2 files of MM-SafetyBench.*03-Malware.*07-Sex\.json"):
        load_benchmark("mm_safetybench", clone)


def test_an_entry_without_its_wording_is_refused(clone, write_json):
    write_json(clone / "data/processed_questions/05-EconomicHarm.json", {"4": {"Question": "?"}})
    with pytest.raises(
        InvalidBenchmarkError, match=r"05-EconomicHarm\.json, entry '4': the field 'Rephrased Question"
    ):
        load_benchmark("mm_safetybench", clone)
