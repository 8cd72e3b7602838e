"""Datasets in every form that the HuggingFace libraries read, and LLaVA's JSON."""

import io
import json
import tarfile

import pytest
from datasets import Dataset, Features, Image, List, Value


IMAGES = {"image": Image(), "question": Value("string"), "name": Value("string")}


@pytest.fixture
def dataset(encoded) -> Dataset:
    """20 rows: number 3 broken, the image of number 5 null."""
    images = [{"bytes": encoded(number), "path": None} for number in range(20)]
    images[3] = {"bytes": b"broken", "path": None}
    images[5] = None
    rows = {
        "image": images,
        "question": [f"Who is number {number}?" for number in range(20)],
        "name": [f"row-{number}" for number in range(20)],
    }
    return Dataset.from_dict(rows, features=Features(IMAGES))


@pytest.fixture
def tar_file(encoded, tmp_path):
    def write(name: str, first: int, size: int):
        with tarfile.open(tmp_path / name, "w") as archive:
            for number in range(first, first + size):
                for suffix, data in (("png", encoded(number)), ("txt", f"Who is {number}?".encode())):
                    member = tarfile.TarInfo(f"{number:03}.{suffix}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
        return tmp_path / name

    return write


@pytest.mark.parametrize("streaming", [False, True])
def test_parquet(audit, dataset, tmp_path, rows_by_key, streaming):
    dataset.to_parquet(tmp_path / "rows.parquet")
    audit(tmp_path / "rows.parquet", text_column="question", key_column="name", streaming=streaming)
    rows = rows_by_key()
    assert rows.keys() == set(dataset["name"])
    assert rows["row-3"]["status"] == "unreadable"
    assert rows["row-5"]["status"] == "text only"
    assert rows["row-7"]["text"] == "Who is number 7?"


def test_streaming_assesses_as_loading_does(audit, dataset, tmp_path, verdicts):
    dataset.to_parquet(tmp_path / "rows.parquet")
    for streaming in (False, True):
        audit(tmp_path / "rows.parquet", str(streaming), key_column="name", streaming=streaming)
    assert verdicts("False").equals(verdicts("True"))


def test_a_stream_goes_on_inside_a_file(audit, tar_file, verdicts, tmp_path):
    source = tar_file("a.tar", 0, 20)
    audit(source, "unbroken", streaming=True)
    audit(source, streaming=True)
    parts = sorted((tmp_path / "audit" / "verdicts").iterdir())
    assert len(parts) == 3
    for part in parts[1:]:
        part.unlink()
    audit(source, streaming=True)
    assert verdicts().equals(verdicts("unbroken"))


def test_a_folder_of_save_to_disk(audit, dataset, tmp_path, rows_by_key):
    dataset.save_to_disk(tmp_path / "saved")
    audit(tmp_path / "saved")
    assert rows_by_key().keys() == {f"train/{number}" for number in range(20)}


@pytest.mark.parametrize("streaming", [False, True])
def test_webdataset(audit, tar_file, tmp_path, rows_by_key, streaming):
    tar_file("a.tar", 0, 10), tar_file("b.tar", 10, 5)
    audit(tmp_path / "*.tar", text_column="txt", streaming=streaming)
    rows = rows_by_key()
    assert rows.keys() == {f"{number:03}" for number in range(15)}
    assert rows["004"]["text"] == "Who is 4?"


def test_raw_columns_of_bytes_are_taken_for_images_when_named(audit, encoded, tmp_path, rows_by_key):
    Dataset.from_dict({"photo": [encoded(number) for number in range(4)]}).to_parquet(tmp_path / "rows.parquet")
    audit(tmp_path / "rows.parquet", image_columns=("photo",))
    assert {row["status"] for row in rows_by_key().values()} == {"assessed"}


def test_several_images_in_a_row_are_assessed_together(audit, encoded, tmp_path, rows_by_key):
    images = [[{"bytes": encoded(number), "path": None} for number in range(size)] for size in (1, 3)]
    features = Features({"images": List(Image())})
    Dataset.from_dict({"images": images}, features=features).to_parquet(tmp_path / "rows.parquet")
    audit(tmp_path / "rows.parquet")
    assert [row["num_images"] for row in rows_by_key().values()] == [1, 3]


def test_a_missing_column_is_named_with_those_there_are(audit, dataset, tmp_path):
    dataset.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match="no column 'prompt'; it has image, question, name"):
        audit(tmp_path / "rows.parquet", text_column="prompt")


def test_a_key_of_several_rows_is_dropped_if_one_of_them_is(audit, dataset, tmp_path):
    dataset.map(lambda row: {"name": "same"}).to_parquet(tmp_path / "rows.parquet")
    summary = audit(tmp_path / "rows.parquet", key_column="name").summary
    assert (summary["keep"], summary["drop"], summary["duplicate_keys"]) == (0, 1, 19)
    assert (tmp_path / "audit" / "drop.txt").read_text() == "same\n"


def test_a_tar_that_breaks_off_is_reported_and_stays_unfinished(audit, tar_file, tmp_path):
    whole, cut = tar_file("a.tar", 0, 4), tar_file("b.tar", 4, 20)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    outcome = audit(tmp_path / "*.tar", streaming=True)
    assert outcome.summary is None
    assert len(outcome.broken_shards) == 1 and "breaks off behind row" in outcome.broken_shards[0]
    whole_again = tar_file("b.tar", 4, 20)
    assert whole_again == cut
    assert audit(tmp_path / "*.tar", streaming=True).summary["rows"] == 24
    assert whole.exists()


def test_a_tar_that_breaks_off_can_be_taken_as_far_as_it_goes(audit, tar_file, tmp_path, verdicts):
    cut = tar_file("b.tar", 4, 20)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    summary = audit(cut, streaming=True, skip_broken_shards=True).summary
    assert summary["unreadable_reasons"] == {"broken shard": 1}
    assert verdicts()["status"].to_pylist() == ["assessed"] * summary["assessed"] + ["unreadable"]


@pytest.fixture
def llava_json(make_image, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        make_image(number).save(folder / f"{number}.png")
    turns = [{"from": "human", "value": "<image>\nWho is this?"}, {"from": "gpt", "value": "A square."}]
    records = [
        {"id": "a", "image": "0.png", "conversations": turns},
        {"id": "b", "conversations": [{"from": "human", "value": "Hello"}]},
        {"id": "c", "image": "gone.png", "conversations": turns},
        {"id": "d", "image": ["1.png", "2.png"], "conversations": [*turns, {"from": "human", "value": "And why?"}]},
    ]
    return folder, records


def test_llavas_json(audit, llava_json, tmp_path, rows_by_key):
    folder, records = llava_json
    (tmp_path / "rows.json").write_text(json.dumps(records))
    audit(tmp_path / "rows.json", image_folder=str(folder))
    rows = rows_by_key()
    assert [rows[key]["num_images"] for key in "abcd"] == [1, 0, 1, 2]
    assert rows["a"]["text"] == "Who is this?"
    assert rows["c"]["reason"].startswith("missing: ")
    assert rows["d"]["text"] == "Who is this?\nAnd why?"


def test_json_lines_of_the_authors(audit, llava_json, tmp_path, rows_by_key):
    folder, records = llava_json
    lines = [{**records[0], "safe_level": 3}, {**records[3], "image": "1.png<split>2.png"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"half": \n[1]\n')
    audit(tmp_path / "rows.jsonl", image_folder=str(folder))
    rows = rows_by_key()
    assert [rows[str(number)]["num_images"] for number in range(2)] == [1, 2]
    assert rows["2"]["reason"].startswith("not a row: invalid JSON")
    assert rows["3"]["reason"] == "not a row: not a JSON object but [1]"


def test_repeated_ids_give_way_to_row_numbers(audit, llava_json, tmp_path, rows_by_key):
    folder, records = llava_json
    (tmp_path / "rows.json").write_text(json.dumps([records[0], records[0]]))
    audit(tmp_path / "rows.json", image_folder=str(folder))
    assert rows_by_key().keys() == {"0", "1"}


def test_an_unpaired_surrogate_is_assessed_as_a_question_mark(audit, llava_json, tmp_path, rows_by_key):
    folder, records = llava_json
    record = {**records[0], "conversations": [{"from": "human", "value": "Who \ud83d?"}]}
    (tmp_path / "rows.json").write_text(json.dumps([record]))
    audit(tmp_path / "rows.json", image_folder=str(folder))
    assert rows_by_key()["a"]["text"] == "Who ??"
