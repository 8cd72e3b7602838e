"""A published file of another form is refused by file, row and column, each named once; an audit drops no row."""

import csv
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from published_sets import encoded, write_zip

from safe_llava.audit.sources import SourceSpec, open_source
from safe_llava.data import load_safety_dataset
from safe_llava.data.sources.rtvlm_set import SUBTASKS


TABLES: dict[str, dict[str, tuple[str, ...]]] = {
    "psa": {"train.json": ("safe_level", "safe_type", "conversations")},
    "llava-instruct": {"llava_v1_5_mix665k.json": ("conversations",)},
    "vlguard": {"train.json": ("image", "safe", "harmful_subcategory", "instr-resp")},
    "spa-vl": {"data/train-00000-of-00002.parquet": ("image", "question", "chosen")},
    "beavertails-v": {
        "data/animal_abuse/train-00000-of-00001.parquet": (
            "image",
            "question",
            "response",
            "category",
            "is_response_safe",
        )
    },
    "llavaguard": {"train.csv": ("id", "url", "rating", "category")},
    "safeatlas-vl": {
        "images/train-00000-of-00001.parquet": ("image_id", "image"),
        "annotations/train-00000-of-00001.parquet": ("image_id", "target", "request", "level", "category"),
    },
    "meerkat-safe": {"Meerkat-Safe.parquet": ("image", "text", "intent", "implicit_risk", "warning")},
    "rtvlm": {
        f"data/{task.table}": (task.question, task.image, *(() if name == "captcha" else ("refused_to_answer",)))
        for name, task in SUBTASKS.items()
    },
}
COLUMNS = [(name, table, column) for name in TABLES for table in TABLES[name] for column in TABLES[name][table]]


def change(path: Path, change_row: Callable[[dict], dict], change_table: Callable[[pa.Table], pa.Table]) -> None:
    """The first row of JSON, each row of csv, or the whole table of a parquet file, changed."""
    if path.suffix == ".parquet":
        pq.write_table(change_table(pq.read_table(path)), path)
        return
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            rows = [change_row(row) for row in csv.DictReader(file)]
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return
    text = path.read_text()
    rows = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
    rows[0] = change_row(rows[0])
    path.write_text(json.dumps(rows) if text.startswith("[") else "\n".join(map(json.dumps, rows)))


def drop(path: Path, column: str) -> None:
    def without(row: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in row.items() if key != column}

    change(path, without, lambda table: table.drop_columns([column]))


def rename(path: Path, column: str) -> None:
    change(
        path,
        lambda row: {f"{key}s" if key == column else key: value for key, value in row.items()},
        lambda table: table.rename_columns([f"{name}s" if name == column else name for name in table.column_names]),
    )


def mistype(path: Path, column: str) -> None:
    wrong = "" if path.suffix == ".csv" else {"of another": 1}

    def change_table(table: pa.Table) -> pa.Table:
        values = pa.array([[1]] * len(table))
        return table.set_column(table.column_names.index(column), column, values).replace_schema_metadata(None)

    change(path, lambda row: {**row, column: wrong}, change_table)


@pytest.mark.parametrize(
    ("name", "table", "column", "wrong"),
    [
        (*place, wrong)
        for place in COLUMNS
        for wrong in (drop, rename, mistype)
        if (place[2], wrong) != ("url", mistype)  # An address may be empty where the image lies here.
    ],
)
def test_a_wrong_column_is_named_once_with_its_file_and_row(name, table, column, wrong, copy_of):
    root = copy_of(name)
    wrong(root / table, column)
    with pytest.raises(ValueError, match=re.escape(repr(column))) as caught:
        load_safety_dataset(name, root)
    message = str(caught.value)
    assert (message.count(str(root / table)), message.count(repr(column))) == (1, 1)
    if not table.endswith(".parquet"):
        assert any(place in message for place in ("item 0", "row 1", "line 1", "line 2"))


@pytest.mark.parametrize("name", TABLES)
def test_who_keeps_the_error_keeps_no_thread(name, copy_of):
    root = copy_of(name)
    table, (column, *_) = list(TABLES[name].items())[-1]
    drop(root / table, column)
    before = set(threading.enumerate())
    with pytest.raises(ValueError, match=re.escape(repr(column))) as kept:
        load_safety_dataset(name, root)
    left = [thread.name for thread in set(threading.enumerate()) - before if "Pool" in thread.name]
    assert left == [], kept.value


@pytest.mark.parametrize("column", ["question", "category", "is_response_safe"])
def test_an_empty_value_in_a_table_is_named_with_its_row(column, copy_of):
    root = copy_of("beavertails-v")
    path = root / "data/animal_abuse/train-00000-of-00001.parquet"
    table = pq.read_table(path)
    values = pa.array([table[column][0].as_py(), None], pa.string())
    pq.write_table(table.set_column(table.column_names.index(column), column, values), path)
    with pytest.raises(ValueError, match=rf"1 of 6 rows .*\n.*{path.name}, row 1: the field '{column}' must be"):
        load_safety_dataset("beavertails-v", root)


def test_a_row_that_cannot_be_read_is_a_problem_of_the_audit_and_not_gone(copy_of, tmp_path):
    root = copy_of("vlguard")
    drop(root / "train.json", "instr-resp")
    rows = list(open_source(SourceSpec("vlguard", root=str(root)), tmp_path, tmp_path / "manifest", 100).rows(0))
    assert [row.problem is None for row in rows] == [False, True, True]
    assert "'instr-resp' is missing" in rows[0].problem


@pytest.mark.parametrize(
    ("image", "reason", "audited"), [(None, "is missing", None), (b"a text", "is no image of a kind", 1)]
)
def test_an_image_that_an_archive_lacks_or_that_is_none_is_said_by_both(image, reason, audited, copy_of, tmp_path):
    root = copy_of("vlguard")
    images = {"train/ads/b.png": encoded(2)} | ({} if image is None else {"train/ads/a.png": image})
    write_zip(root / "train.zip", images)
    with pytest.raises(ValueError, match=rf"1 of 3 rows .*\n  row 1: .*item 0: image ads/a\.png {reason}"):
        load_safety_dataset("vlguard", root)
    rows = list(open_source(SourceSpec("vlguard", root=str(root)), tmp_path, tmp_path / "manifest", 100).rows(0))
    # What is there is for the audit to look at; what is not there is a row with its reason.
    assert (rows[0].problem is None, len(rows[0].images) or None) == (audited is not None, audited)
    assert len(rows) == 3


def test_a_row_whose_label_cannot_be_told_is_audited_all_the_same(copy_of, tmp_path):
    root = copy_of("psa")
    drop(root / "train.json", "safe_level")
    rows = list(open_source(SourceSpec("psa", root=str(root)), tmp_path, tmp_path / "manifest", 100).rows(0))
    assert [(row.problem, row.text) for row in rows] == [(None, "What is this ?")] * 3


def test_a_missing_image_is_said_once_with_a_count_and_skipped_on_request(copy_of):
    root = copy_of("psa")
    for path in (root / "images").glob("[01].png"):
        path.unlink()
    with pytest.raises(ValueError, match=r"2 of 3 rows .*\n  2 rows \(1, 2\), the first: .*image .*0\.png is missing"):
        load_safety_dataset("psa", root)
    dataset, report = load_safety_dataset("psa", root, on_error="skip")
    assert (len(dataset), len(report.bad_rows)) == (1, 2)
