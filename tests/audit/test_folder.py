"""A folder of images: every file ends as a row with a verdict or with a reason."""

import json
import os

import pytest
from transformers import pipeline

from safe_llava.audit.run_audit import run_audit
from safe_llava.audit.sources import SourceSpec
from safe_llava.audit.verdict_table import LEVEL_COLUMNS, TYPE_COLUMNS, read_verdicts


BROKEN = {"empty.jpg": "not an image", "text.png": "not an image", "cut-off.png": "cut off"}


@pytest.fixture
def audited(whole_audit):
    return {row["key"]: row for row in read_verdicts(whole_audit / "verdicts").to_pylist()}


def test_every_image_is_one_row(audited, image_folder):
    files = {path.relative_to(image_folder).as_posix() for path in image_folder.rglob("*.*")} - {"notes.txt"}
    assert audited.keys() == files


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_a_row_with_its_reason(audited, name):
    row = audited[name]
    assert row["status"] == "unreadable"
    assert row["reason"].startswith(f"{BROKEN[name]}: ")
    assert row["level"] is None and row["action"] is None


@pytest.mark.parametrize(
    "name",
    ["cmyk.jpg", "palette.png", "sixteen-bit.png", "animated.gif", "wrongly-named.jpg", "no-image-by-name.dat"],
)
def test_an_odd_image_is_assessed(audited, name):
    assert audited[name]["status"] == "assessed"


def test_what_a_reader_should_know_of_an_image_is_noted(audited):
    assert audited["animated.gif"]["notes"] == ["first of 2 frames"]
    assert audited["wrongly-named.jpg"]["notes"] == ["named .jpg but PNG"]


def test_a_verdict_is_the_guard_pipelines(audited, image_folder, guard_checkpoint):
    pipe = pipeline("safety-classification", model=guard_checkpoint, device="cpu")
    expected = pipe(str(image_folder / "00.png"))
    row = audited["00.png"]
    assert [row[name] for name in LEVEL_COLUMNS] == pytest.approx(list(expected["level_probs"].values()), abs=1e-5)
    assert [row[name] for name in TYPE_COLUMNS] == pytest.approx(list(expected["type_probs"].values()), abs=1e-5)
    assert (row["level"], row["type"]) == (expected["level"], expected["type"])
    assert (row["action"], row["types"]) == (expected["decision"]["action"], list(expected["decision"]["types"]))


def test_keep_and_drop_share_out_all_keys(audited, whole_audit):
    keep, drop = ((whole_audit / name).read_text().split("\n")[:-1] for name in ("keep.txt", "drop.txt"))
    assert sorted(keep + drop) == sorted(audited)
    assert set(keep) == {key for key, row in audited.items() if row["action"] == "answer"}


def test_the_summary_counts_what_the_table_holds(audited, whole_audit):
    summary = json.loads((whole_audit / "summary.json").read_text())
    assert summary["rows"] == len(audited) == summary["assessed"] + summary["unreadable"]
    assert summary["text_only"] == 0
    assert summary["unreadable_reasons"] == {"not an image": 2, "cut off": 1}
    assert summary["not_images"] == {".txt": 1}
    assert summary["flagged"] == sum(row["action"] in ("hint", "refuse") for row in audited.values())


def test_the_policy_of_the_call_decides(audit, image_folder, rows_by_key):
    types = {name.removeprefix("type_prob_"): {"enabled": False} for name in TYPE_COLUMNS[:-1]}
    audit(image_folder, policy={"types": types})
    assert {row["action"] for row in rows_by_key().values()} == {"answer", None}


def test_a_checkpoint_without_head_weights_drops_every_image(image_folder, tiny_safe_llava, tiny_processor, tmp_path):
    state = {
        name: weight for name, weight in tiny_safe_llava.state_dict().items() if "safety_modules.head" not in name
    }
    tiny_safe_llava.save_pretrained(tmp_path / "headless", state_dict=state)
    tiny_processor.save_pretrained(tmp_path / "headless")
    outcome = run_audit(SourceSpec(str(image_folder)), str(tmp_path / "headless"), tmp_path / "audit", device="cpu")
    assert outcome.summary["keep"] == 0
    assert outcome.summary["untrusted"] == outcome.summary["assessed"]


def test_a_file_name_of_any_bytes_becomes_one_line(audit, make_image, tmp_path, rows_by_key):
    folder = tmp_path / "images"
    folder.mkdir()
    make_image(0).save(folder / "two\nlines.png")
    os.rename(folder / "two\nlines.png", bytes(folder) + b"/caf\xe9.png")
    make_image(1).save(folder / "two\nlines.png")
    audit(folder)
    assert set(rows_by_key()) == {"two\\nlines.png", "caf\\xe9.png"}


def test_a_folder_without_images_says_what_it_holds(audit, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    with pytest.raises(ValueError, match=r"nothing to assess; it holds 1 \.txt"):
        audit(tmp_path / "texts")


def test_images_beside_data_files_are_not_guessed_at(audit, make_image, tmp_path):
    folder = tmp_path / "both"
    folder.mkdir()
    make_image(0).save(folder / "a.png")
    (folder / "b.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds data files \(b\.parquet\) and images \(a\.png\)"):
        audit(folder)
