"""Each kind of source works, or says in one clear line why it does not."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from safe_llava.audit import read_verdicts
from safe_llava.audit.audit_row import AuditRow
from safe_llava.audit.row_assessment import RowAssessor
from safe_llava.cli import app


@pytest.fixture
def place(make_image, encoded, tmp_path, monkeypatch) -> Path:
    """A folder to work in, with an image and a JSON list of it."""
    monkeypatch.chdir(tmp_path)
    make_image(0).save("a.png")
    return tmp_path


def write_tar(path: str, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def cut_tar(path: str) -> None:
    """Cut off between two members, which Python takes for the end."""
    write_tar(path, {f"{number}.txt": b"Hello" for number in range(3)})
    Path(path).write_bytes(Path(path).read_bytes()[: 2 * 1024])


def write_zero_rows(path: str) -> None:
    pq.write_table(pa.table({"image": pa.array([], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))}), path)


BAD: dict[str, tuple[Callable[[str], Any], str]] = {
    "none*.tar": (lambda path: None, "no file is called"),
    "none*.parquet": (lambda path: None, "no file is called"),
    "none.tar": (lambda path: None, "no file is called"),
    "none.json": (lambda path: None, "No such file"),
    "*.png": (lambda path: None, "wildcards are for"),
    "empty.tar": (lambda path: Path(path).write_bytes(b""), "no tar file, cut off or broken"),
    "cut.tar": (cut_tar, "no tar file, cut off or broken"),
    "text.tar": (lambda path: Path(path).write_text("text"), "no tar file, cut off or broken"),
    "memberless.tar": (lambda path: write_tar(path, {}), "has no rows"),
    "zero.parquet": (write_zero_rows, "zero.parquet"),
    "broken.parquet": (lambda path: Path(path).write_bytes(b"PAR1"), "broken.parquet cannot be loaded"),
    "broken.arrow": (lambda path: Path(path).write_bytes(b"ARROW1"), "broken.arrow cannot be loaded"),
    "deep.json": (lambda path: Path(path).write_text("[" * 100_000), "nested too deep"),
    "object.json": (lambda path: Path(path).write_text("{}"), "no row names an image"),
    "broken.json": (lambda path: Path(path).write_text('[{"image": "a.png"},\n'), "begins like a JSON list"),
    "list.json": (lambda path: Path(path).write_text("[]"), "nothing to assess"),
    "lines.jsonl": (lambda path: Path(path).write_text(""), "nothing to assess"),
    "broken.jsonl.gz": (lambda path: Path(path).write_bytes(b"text"), "cannot be unpacked"),
    "cut.jsonl.gz": (lambda path: Path(path).write_bytes(gzip.compress(b"[]" * 500)[:20]), "cannot be unpacked"),
    "rows.xlsx": (lambda path: Path(path).write_text("image\na.png\n"), "cannot be audited. A source is"),
    "rows.csv": (lambda path: Path(path).write_text("image,image\na.png,b.png\n"), "two columns of one name"),
    "pipe": (os.mkfifo, "not a regular file"),
    "pipe.json": (os.mkfifo, "not a regular file"),
    "pipe.tar": (os.mkfifo, "not a regular file"),
    "pipe.parquet": (os.mkfifo, "not a regular file"),
    "/dev/zero": (lambda path: None, "not a regular file"),
    "folder": (os.mkdir, "nothing to assess"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_audited_ends_in_one_clear_error(guard_checkpoint, place, name):
    make, message = BAD[name]
    make(name)
    arguments = ["audit", name, "--model", guard_checkpoint, "--output-dir", "out", "--device", "cpu"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert message in result.output.partition("Error: ")[2]
    assert sum(line.startswith("Error") for line in result.output.split("\n")) == 1
    assert not Path("out/keep.txt").exists()


def test_a_line_of_json_that_is_nested_too_deep_is_one_row(audit, place, rows_by_key):
    Path("rows.jsonl").write_text('{"image": "a.png"}\n' + "[" * 100_000 + '\n{"image": "a.png", "image": "b.png"}\n')
    audit("rows.jsonl")
    reasons = [row["reason"] for row in rows_by_key().values()]
    assert reasons == [
        None,
        "not a row: invalid JSON (it is nested too deep)",
        "not a row: it names the field 'image' twice",
    ]


def test_json_lines_in_gz_are_read(audit, place, rows_by_key):
    Path("rows.jsonl.gz").write_bytes(gzip.compress(b'{"image": "a.png"}\n'))
    audit("rows.jsonl.gz")
    assert rows_by_key()["0"]["status"] == "assessed"


def test_a_single_image_is_audited(audit, place, rows_by_key):
    audit("a.png")
    assert rows_by_key()["a.png"]["status"] == "assessed"


@pytest.mark.parametrize("options", [{"split": "test"}, {"streaming": True}, {"image_folder": "."}], ids=str)
def test_an_option_without_effect_is_refused(audit, place, options):
    with pytest.raises(ValueError, match=f"--{next(iter(options)).replace('_', '-')} would have no effect"):
        audit("a.png", **options)


@pytest.fixture(params=["webdataset", "files", "parquet"])
def img2dataset(request, encoded, place) -> str:
    """What img2dataset leaves of two URLs, of which one failed, in each of its output formats."""
    names = {"key": ["000000000", "000000001"], "url": ["http://host/0.png", "http://host/1.png"]}
    table = pa.table(names | {"caption": ["A", "B"], "status": ["success", "failed_to_download"]})
    folder = Path(request.param)
    (folder / "00000").mkdir(parents=True)
    (folder / "00000_stats.json").write_text(json.dumps({"count": 2, "successes": 1}))
    sample = {"png": encoded(0), "txt": b"A", "json": json.dumps({"url": "http://host/0.png"}).encode()}
    if request.param == "webdataset":
        write_tar(f"{folder}/00000.tar", {f"000000000.{suffix}": data for suffix, data in sample.items()})
    elif request.param == "files":
        for suffix, data in sample.items():
            (folder / "00000" / f"000000000.{suffix}").write_bytes(data)
    else:
        table = table.append_column("png", pa.array([encoded(0), None], pa.binary()))
    pq.write_table(table, folder / "00000.parquet")
    return request.param


def test_img2datasets_folder_is_audited_as_it_lies(audit, img2dataset, rows_by_key):
    audit(img2dataset)
    assert {key: row["status"] for key, row in rows_by_key().items()} == {
        "webdataset": {"000000000": "assessed"},
        "files": {"00000/000000000.png": "assessed"},
        "parquet": {"train/0": "assessed", "train/1": "unreadable"},
    }[img2dataset]


def test_images_beside_tables_with_images_are_not_guessed_at(audit, encoded, place):
    os.mkdir("both")
    write_tar("both/a.tar", {"0.png": encoded(0)})
    pq.write_table(pa.table({"png": pa.array([encoded(0)], pa.binary())}), "both/a.parquet")
    with pytest.raises(ValueError, match=r"both holds data files \(a.parquet\) and others in another form \(a.tar\)"):
        audit("both")


def test_the_rows_behind_one_that_cannot_be_read_are_read(audit, encoded, place, rows_by_key, monkeypatch):
    from safe_llava.audit.dataset_source import DatasetSource

    pq.write_table(pa.table({"png": pa.array([encoded(number) for number in range(6)], pa.binary())}), "rows.parquet")
    row_of = DatasetSource._row

    def fail(self, key, record):
        if key.endswith(("/2", "/5")):
            raise RuntimeError("broken")
        return row_of(self, key, record)

    monkeypatch.setattr(DatasetSource, "_row", fail)
    assert "behind row 2" in audit("rows.parquet").broken_shards[0]
    summary = audit("rows.parquet", skip_broken_shards=True).summary
    assert (summary["assessed"], summary["unreadable_reasons"], summary["broken_shards"]) == (4, {"broken row": 2}, 0)


def test_rows_that_nobody_can_count_give_an_exit_code_of_their_own(guard_checkpoint, place):
    cut_tar("cut.tar")
    arguments = ["audit", "cut.tar", "--model", guard_checkpoint, "--output-dir", "out", "--device", "cpu"]
    result = CliRunner().invoke(app, [*arguments, "--skip-broken-shards"])
    assert result.exit_code == 2 and "Not whole: 1 shards break off" in result.output


@pytest.mark.parametrize("name", ["audit", "audit/verdicts", "audit/verdicts/shard-0000000-part-0000000.parquet"])
def test_the_table_is_read_by_whatever_names_it(audit, place, name):
    audit("a.png")
    assert read_verdicts(name)["key"].to_pylist() == read_verdicts(Path(name))["key"].to_pylist() == ["a.png"]


def test_a_folder_without_a_table_says_so(place):
    with pytest.raises(FileNotFoundError, match="holds no verdict table"):
        read_verdicts(place)


@pytest.fixture
def assessor(guard_checkpoint) -> RowAssessor:
    return RowAssessor(guard_checkpoint)


def test_a_question_that_is_too_long_costs_no_more_than_a_short_one(assessor, place, monkeypatch):
    cut: list[int] = []
    tokenize = type(assessor.guard.processor.tokenizer).__call__
    monkeypatch.setattr(
        type(assessor.guard.processor.tokenizer),
        "__call__",
        lambda self, text, *more, **options: cut.append(len(text)) or tokenize(self, text, *more, **options),
    )
    prepared = [assessor.prepare(AuditRow("a", (Path("a.png"),), "x y" * size)) for size in (100, 400, 700_000)]
    assert [row.reason and row.reason.partition(":")[0] for row in prepared] == [None, *["question too long"] * 2]
    assert "has more than 512 tokens, and the model takes 512" in prepared[-1].reason
    assert max(cut) <= 1200
