"""Tables are read as they are published, and a wrong one is refused by file, row and field."""

from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from safe_llava.data.sources.published_tables import (
    PublishedFileError,
    Record,
    find_table,
    read_csv,
    read_json,
    read_json_lines,
    read_parquet,
)


@pytest.fixture
def table(tmp_path) -> Path:
    return tmp_path / "table.csv"


def test_a_byte_order_mark_commas_quotes_and_line_breaks_in_csv_are_read(table):
    table.write_bytes(b'\xef\xbb\xbfid,text\r\n1,"a ""big"", red\nball"\r\n')
    assert [row.values for row in read_csv(table, ["id", "text"])] == [{"id": "1", "text": 'a "big", red\nball'}]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"id;text\n1;a\n", r"table\.csv, line 1: the columns 'id', 'text' are missing; it has 'id;text'"),
        (b"id,text\n1,a,b\n", r"table\.csv, line 2: the row has more fields than the header's 2"),
        (b"id,text\n1,a\n2\n", r"table\.csv, line 3: the row has fewer fields"),
        (b"id,text\n1,caf\xe9\n", r"table\.csv, after line \d: no CSV in UTF-8"),
        (b'id,text\n1,"a\n', r"table\.csv, after line \d: no CSV"),
        (b"id,text\n", r"table\.csv has no rows"),
        (b"", r"line 1: the columns 'id', 'text' are missing; it has none"),
    ],
)
def test_a_wrong_csv_is_refused_by_its_line(table, contents, message):
    table.write_bytes(contents)
    with pytest.raises(PublishedFileError, match=message):
        read_csv(table, ["id", "text"])


def test_json_may_be_a_list_or_an_object_of_rows(tmp_path, write_json):
    write_json(tmp_path / "list.json", [{"a": 1}])
    write_json(tmp_path / "object.json", {"7": {"a": 1}})
    assert [row.values for row in read_json(tmp_path / "list.json")] == [{"a": 1}]
    assert [row.values for row in read_json(tmp_path / "object.json")] == [{"key": "7", "a": 1}]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"[1]", r"item 0: expected an object with named fields, not 1"),
        (b'{"a": 1}', r"entry 'a': expected an object"),
        (b"3", "expected a list or an object of objects, not 3"),
        (b"[{]", r"wrong\.json: no JSON in UTF-8"),
        (b"[]", "has no rows"),
    ],
)
def test_wrong_json_is_refused_by_its_place(tmp_path, contents, message):
    path = tmp_path / "wrong.json"
    path.write_bytes(contents)
    with pytest.raises(PublishedFileError, match=message):
        read_json(path)


def test_a_wrong_line_of_json_lines_is_refused_by_its_number(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"a": \n')
    with pytest.raises(PublishedFileError, match=r"rows\.jsonl, line 3: no JSON"):
        read_json_lines(path)


def test_a_parquet_file_without_a_column_is_refused(tmp_path):
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"id": [1]}), path)
    assert read_parquet(path, ["id"])[0].key("id") == "1"
    with pytest.raises(PublishedFileError, match=r"rows\.parquet: the columns 'image' are missing; it has 'id'"):
        read_parquet(path, ["id", "image"])


def test_what_is_no_parquet_file_is_refused(tmp_path):
    (tmp_path / "rows.parquet").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(PublishedFileError, match="no parquet file"):
        read_parquet(tmp_path / "rows.parquet", ["id"])


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (lambda row: row.text("field"), " ", "text that is not empty"),
        (lambda row: row.key("field"), True, "a whole number or text"),
        (lambda row: row.flag("field"), "true", "true or false"),
        (lambda row: row.choice("field", ("a", "b")), "c", "one of 'a', 'b'"),
        (lambda row: row.texts("field"), "a", "a list of texts"),
        (lambda row: row.texts("field", 2), ["a"], "a list of 2 texts"),
        (lambda row: row.records("field"), [], "a list of objects that is not empty"),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused_by_name_with_what_was_expected(read, value, expected):
    with pytest.raises(PublishedFileError, match=f"^file, line 3: the field 'field' must be {expected}"):
        read(Record("file, line 3", {"field": value}))


def test_a_missing_field_is_refused_with_the_fields_that_are_there():
    with pytest.raises(PublishedFileError, match=r"'field' is missing; it has 'id', 'x'\. Expected text"):
        Record("file", {"id": 1, "x": 2}).text("field")


def test_a_folder_without_the_table_is_refused_with_what_it_holds(tmp_path):
    (tmp_path / "readme.md").touch()
    with pytest.raises(PublishedFileError, match=r"must hold a\.csv or data/a\.csv; it holds readme\.md"):
        find_table(tmp_path, ["a.csv", "data/a.csv"])
