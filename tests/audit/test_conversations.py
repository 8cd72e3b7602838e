"""The audit asks what the training learns from: the questions of a file, in every form, spelling and container."""

import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from json_forms import FORMS, NAMES, ROLES, UNKNOWN_ROLES, speak, write_form

from safe_llava.audit.sources import SourceSpec, open_source, prepare_source


TEXTS = ["<image>\nWho is this?", "I cannot say.", "And why?", "Because."]


def read_rows(path, **options):
    """The rows that would be assessed."""
    folder = path.parent
    spec = SourceSpec(str(path), **options)
    prepare_source(spec, folder / "audit", folder / "manifest", 8)
    source = open_source(spec, folder / "audit", folder / "manifest", 8)
    return [row for shard in range(source.num_shards) for row in source.rows(shard)]


def authors_rows(roles=("USER", "ASSISTANT"), style="conversations"):
    """The layout of the authors' sample."""
    return [
        {"safe_type": "4", "safe_level": "3", "image": f"{number}.jpg", **speak([*roles] * 2, style, TEXTS)}
        for number in range(3)
    ]


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", FORMS)
def test_the_authors_rows_keep_their_questions_in_every_form(form, name, compressed, tmp_path):
    rows = read_rows(write_form(tmp_path, form, authors_rows(), name, compressed))
    assert [(row.text, row.problem) for row in rows] == [("Who is this?\nAnd why?", None)] * 3
    assert [row.images for row in rows] == [(tmp_path / f"{number}.jpg",) for number in range(3)]


def in_json(folder, encoded, turns):
    return write_form(folder, "list", [{"image": "a.png", **turns}]), {}


def in_parquet(folder, encoded, turns):
    table = {name: pa.array([value]) for name, value in turns.items()}
    pq.write_table(pa.table({"png": pa.array([encoded(0)], pa.binary()), **table}), folder / "rows.parquet")
    return folder / "rows.parquet", {}


def in_tar(folder, encoded, turns):
    (conversation,) = turns.values()
    with tarfile.open(folder / "rows.tar", "w") as archive:
        for name, data in {"0.png": encoded(0), "0.json": json.dumps(conversation).encode()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return folder / "rows.tar", {"text_column": "json"}


CONTAINERS = pytest.mark.parametrize("write", [in_json, in_parquet, in_tar])
STYLES = pytest.mark.parametrize("style", ["conversations", "messages"])


@CONTAINERS
@STYLES
@pytest.mark.parametrize("roles", ROLES, ids=str)
def test_a_question_is_found_under_every_role_in_every_container(roles, style, write, encoded, tmp_path):
    path, options = write(tmp_path, encoded, speak([*roles] * 2, style, TEXTS))
    (row,) = read_rows(path, **options)
    assert (row.text, row.problem) == ("Who is this?\nAnd why?", None)


@CONTAINERS
@STYLES
@pytest.mark.parametrize("role", [role for role in UNKNOWN_ROLES if role != 3], ids=repr)
def test_an_unknown_role_makes_the_row_unreadable_in_every_container(role, style, write, encoded, tmp_path):
    path, options = write(tmp_path, encoded, speak([role, "gpt", "human", "gpt"], style, TEXTS))
    (row,) = read_rows(path, **options)
    assert row.problem.startswith(f"not a row: turn 1 has the unknown role {role!r}")


@CONTAINERS
def test_a_turn_under_another_name_is_not_passed_over(write, encoded, tmp_path):
    path, options = write(tmp_path, encoded, {"conversations": [{"from": "human", "text": "Who?"}]})
    (row,) = read_rows(path, **options)
    assert row.problem == "not a row: a turn has no 'value' and no 'content', but 'from', 'text'"


@CONTAINERS
def test_system_and_tool_turns_are_no_questions(write, encoded, tmp_path):
    speakers, texts = ["system", "human", "gpt", "tool", "gpt"], ["Be brief.", "Who?", "look()", "red", "Red."]
    path, options = write(tmp_path, encoded, speak(speakers, "conversations", texts))
    (row,) = read_rows(path, **options)
    assert (row.text, row.problem) == ("Who?", None)


def test_a_row_that_is_broken_is_one_row_in_every_form_with_lines(tmp_path):
    (tmp_path / "rows.json").write_text('{"image": "a.png"}\n{"half": \n{"image": "b.png"}\n')
    problems = [row.problem and row.problem.partition(" (")[0] for row in read_rows(tmp_path / "rows.json")]
    assert problems == [None, "not a row: invalid JSON", None]
