"""A row is assessed, text only, or unreadable with its reason; and what nobody looked at is never kept."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safe_llava.audit.sources import SourceSpec, open_source
from safe_llava.audit.verdict_table import TYPE_COLUMNS


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
HARMLESS = {"types": {name.removeprefix("type_prob_"): {"enabled": False} for name in TYPE_COLUMNS[:-1]}}
"""A policy that lets everything pass, so that whatever may be kept is."""


@pytest.fixture
def states(audit, rows_by_key, tmp_path) -> Callable[..., dict[str, str]]:
    """Audits a source under a policy that lets everything pass; the state and reason of each row."""

    def run(source: Path, **options: Any) -> dict[str, str]:
        summary = audit(source, policy=HARMLESS, **options).summary
        rows = rows_by_key().values()
        lists = {name: (tmp_path / "audit" / f"{name}.txt").read_text().split("\n")[:-1] for name in LISTS}
        for name, state in LISTS.items():
            assert sorted(lists[name]) == sorted(row["key"] for row in rows if row["status"] == state)
        for state in ("assessed", "text only", "unreadable"):
            assert summary[state.replace(" ", "_")] == sum(row["status"] == state for row in rows)
        return {row["key"]: row["reason"] or row["status"] for row in rows}

    return run


LISTS = {"keep": "assessed", "text-only": "text only", "drop": "unreadable"}


@pytest.fixture
def write_tar(tmp_path) -> Callable[..., Path]:
    def write(members: dict[str, bytes], name: str = "a.tar") -> Path:
        with tarfile.open(tmp_path / name, "w") as archive:
            for member_name, data in members.items():
                member = tarfile.TarInfo(member_name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        return tmp_path / name

    return write


@pytest.fixture
def write_lines(make_image, tmp_path) -> Callable[..., Path]:
    """JSON lines beside an image `a.png`; the first names it."""
    make_image(0).save(tmp_path / "a.png")

    def write(*records: dict[str, Any]) -> Path:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(f"{json.dumps(record)}\n" for record in ({"image": "a.png"}, *records)))
        return path

    return write


EMPTY = [None, "", "  ", [], [None], [""], float("nan"), {}, {"bytes": None, "path": None}, {"bytes": None}, [[]]]


def test_a_field_of_images_without_an_image_is_unreadable_in_json(states, write_lines):
    records = [{"id": str(index), "image": value, "conversations": []} for index, value in enumerate(EMPTY)]
    records += [{"image": ["a.png", empty]} for empty in (None, "", [])] + [{"image": "a.png<split>"}]
    found = list(states(write_lines(*records)).values())
    assert found[0] == "assessed"
    assert all(reason.startswith("no image: image ") and reason.endswith("is empty") for reason in found[1:])


def cell(encoded: bytes | None) -> dict[str, Any]:
    return {"bytes": encoded, "path": "a.png" if encoded == b"" else None}


COLUMNS: dict[str, tuple[Callable[[bytes], pa.Array], str]] = {
    "images": (lambda png: pa.array([cell(png), None, cell(None), cell(b"")], IMAGE), "image null null empty"),
    "lists": (
        lambda png: pa.array([[cell(png)], None, [], [None], [cell(png), None]], pa.list_(IMAGE)),
        "image null null empty empty",
    ),
    "large lists": (
        lambda png: pa.array([[cell(png)], None, [], [None], [cell(png), None]], pa.large_list(IMAGE)),
        "image null null empty empty",
    ),
    "fixed-size lists": (lambda png: pa.array([[cell(png)] * 2, None], pa.list_(IMAGE, 2)), "image null"),
    "bytes": (lambda png: pa.array([png, None, b""], pa.binary()), "image null empty"),
    "large bytes": (lambda png: pa.array([png, None, b""], pa.large_binary()), "image null empty"),
    "views of bytes": (lambda png: pa.array([png, None, b""], pa.binary_view()), "image null empty"),
    "lists of bytes": (
        lambda png: pa.array([[png], None, [], [None], [png, b""]], pa.list_(pa.binary())),
        "image null null empty empty",
    ),
}
"""What a column holds, and of each cell whether it has an image, is null, or is an empty place for one."""


@pytest.mark.parametrize("question", ["Who?", "<image>Who?", None], ids=repr)
@pytest.mark.parametrize("streaming", [False, True], ids=["loaded", "streamed"])
@pytest.mark.parametrize("column", COLUMNS)
def test_a_null_image_is_text_only_if_no_image_is_asked_for_and_stops_nothing(
    encoded, tmp_path, column, streaming, question
):
    make, states = COLUMNS[column]
    images = make(encoded(0))
    # Sound rows behind the null ones must be reached.
    texts = pa.array([question] * len(images), pa.large_string())
    table = pa.concat_tables([pa.table({"image": images, "t": texts})] * 2)
    for kind in ("parquet", "arrow"):
        path = tmp_path / f"rows.{kind}"
        if kind == "parquet":
            pq.write_table(table, path)
        else:
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table)
        spec = SourceSpec(str(path), text_column="t", streaming=streaming)
        source = open_source(spec, tmp_path, tmp_path / "none", 8)
        problems = [row.problem for shard in range(source.num_shards) for row in source.rows(shard)]
        is_sound = [state == "image" or (state == "null" and question == "Who?") for state in states.split()] * 2
        assert [problem is None for problem in problems] == is_sound
        assert all(problem.startswith("no image: ") for problem in problems if problem)


def test_every_member_of_a_tar_file_is_looked_at(states, write_tar, encoded, make_image):
    webp = io.BytesIO()
    make_image(1).save(webp, "WEBP")
    members = {f"{number}.png": encoded(number) for number in range(6)}
    members |= {"late.webp": webp.getvalue(), "unnamed.bin": encoded(1), "posing.txt": encoded(1), "null.png": b""}
    members |= {"talk.txt": b"Hello", "failed.json": b'{"url": "http://a/b.jpg"}', "numbers.npy": b"\x93NUMPY\xff"}
    members |= {"beside.png": encoded(1), "beside.npz": b"PK\3\4", "new.jxl": b"\xff\x0a", "README": b"Hello"}
    members |= {"deep.json": b"[" * 100_000, "broken.json": b'{"url": ', "last.png": encoded(1)}
    found = states(write_tar(members))
    assert {key for key, state in found.items() if state == "assessed"} == {
        *map(str, range(6)),
        *("late", "unnamed", "posing", "beside", "last"),
    }
    assert {key for key, state in found.items() if state == "text only"} == {"talk", "README"}
    kinds = {key: state.partition(":")[0] for key, state in found.items()}
    assert (kinds["null"], kinds["failed"], kinds["numbers"]) == ("no image", "image not given", "image not given")
    assert (kinds["new"], kinds["deep"], kinds["broken"]) == ("format not read", "not a row", "not a row")


def test_a_path_beside_zero_bytes_is_not_read_from_the_disk(
    states, write_tar, encoded, make_image, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    make_image(0).save("b.png")
    assert states(write_tar({"a.png": encoded(0), "b.png": b""}))["b"] == "no image: image field 'images' is empty"


@pytest.mark.parametrize("twice", [("a.png", "a.png"), ("a.png", "./a.png")])
def test_two_members_of_one_name_are_not_taken_for_one(audit, rows_by_key, encoded, tmp_path, twice):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in twice:
            member = tarfile.TarInfo(name)
            member.size = len(encoded(0))
            archive.addfile(member, io.BytesIO(encoded(0)))
    audit(tmp_path / "a.tar")
    assert rows_by_key()["a"]["reason"].startswith("not a row: two members are called")


REFERENCES: list[dict[str, Any]] = [
    *({name: "a.png"} for name in ("image_path", "img", "file_name", "picture", "anything", "meta.file")),
    *({"u": value} for value in ("https://host/b.webp?size=3", "dir/B.JPEG", "data:image/png;base64,AA", "x.jxl")),
    {"encoded": "iVBORw0KGgo" + "A" * 80},
    {"nested": {"files": [["b.jpg"]]}},
    {"image_path": "no-suffix"},
    {"img": None},
    {"conversations": [{"from": "human", "value": "<image>\nWho?"}]},
    {"conversations": [{"from": "human", "value": "Who?", "image": "a.png"}]},
    {"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Who?"}]}]},
    {"messages": [{"role": "user", "content": [{"type": "image", "path": "a.png"}]}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://host/b"}}]}]},
    {"image": "a.png", "conversations": [{"from": "human", "value": "<image><image>"}]},
    {"image": "a.png", "messages": [{"role": "user", "content": [{"type": "image", "path": "b.png"}]}]},
]


def test_an_image_that_was_not_given_is_not_passed_over(states, write_lines):
    _, *found = states(write_lines(*REFERENCES)).values()
    assert [state.partition(":")[0] for state in found] == ["image not given"] * len(REFERENCES)


def test_the_message_names_the_option_that_helps(states, write_lines):
    path = write_lines({"img": "a.png"})
    assert "pass --image-column img" in states(path)["1"]


TEXTS: list[dict[str, Any]] = [
    {"conversations": [{"from": "human", "value": "Is cat.png a good name?"}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]},
    {"prompt": "Hello", "source": "talk.zip", "url": "https://host/page.html"},
    {},
]


def test_a_row_without_a_field_of_images_is_text_only(states, write_lines):
    assert list(states(write_lines(*TEXTS)).values()) == ["assessed", *["text only"] * len(TEXTS)]


def test_some_of_several_fields_may_be_empty(states, write_lines):
    records = [{"image": None, "images": ["a.png"]}, {"image": "a.png", "images": []}]
    assert set(states(write_lines(*records)).values()) == {"assessed"}


def test_a_source_in_which_no_row_names_an_image_is_refused(audit, write_tar, tmp_path):
    (tmp_path / "rows.json").write_text(json.dumps([{"text": "a"}, {"text": "b"}]))
    for source in (tmp_path / "rows.json", write_tar({"a.txt": b"Hello", "b.txt": b"Hello"})):
        with pytest.raises(ValueError, match="no row names an image"):
            audit(source, source.stem)
        assert not (tmp_path / source.stem / "keep.txt").exists()


def test_a_source_of_which_nothing_can_be_read_has_a_report_that_says_so(states, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_text("no image")
    assert next(iter(states(tmp_path / "images").values())).startswith("not an image: ")
    assert "Nothing could be assessed" in (tmp_path / "audit" / "report.html").read_text()
