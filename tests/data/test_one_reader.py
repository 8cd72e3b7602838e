"""Training and audit read the same rows, images and questions, whatever holds them and however images are given."""

import csv
import functools
import http.server
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from json_forms import ROLES, UNKNOWN_ROLES, speak
from PIL import Image
from row_containers import CONTAINERS, TABLES, WAYS, WAYS_OF, write_tar

from safe_llava.audit.sources import SourceSpec, open_source, prepare_source
from safe_llava.data import InvalidDatasetError, load_safety_dataset
from safe_llava.models.image_reading import read_image


COLORS = {"red.png": (255, 0, 0), "blue.png": (0, 0, 255)}
LABELS = {"safe_level": 3, "safe_type": 4}


def encode(color: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (9, 9), color).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path) -> Path:
    for name, color in COLORS.items():
        (tmp_path / name).write_bytes(encode(color))
    return tmp_path


def asking(question: str, **row: Any) -> dict[str, Any]:
    return {**row, **speak(["USER", "ASSISTANT"], "conversations", [question, "No."]), **LABELS}


Rows = list[tuple[list[tuple[int, ...]], str]]
"""The colours of a row's images, and what is asked."""


def trained(source: Path, **options: Any) -> Rows:
    dataset, _ = load_safety_dataset(source, **options)
    return [
        (
            [image.convert("RGB").getpixel((0, 0)) for image in row["images"]],
            "".join(part["text"] or "" for part in row["messages"][0]["content"]),
        )
        for row in dataset
    ]


def audited(source: Path, **options: Any) -> tuple[Rows, list[str]]:
    """What is assessed or text only, and the problems of all other rows."""
    place = (source if source.is_dir() else source.parent).parent / "audit"
    spec = SourceSpec(str(source), **options)
    prepare_source(spec, place, place.with_name(f"{source.name.replace('*', '')}.manifest"), 8)
    opened = open_source(spec, place, place.with_name(f"{source.name.replace('*', '')}.manifest"), 8)
    rows = [row for shard in range(opened.num_shards) for row in opened.rows(shard)]
    sound = [row for row in rows if row.problem is None]
    seen = [[read_image(image, timeout=300).image.getpixel((0, 0)) for image in row.images] for row in sound]
    return [(images, row.text) for images, row in zip(seen, sound)], [row.problem for row in rows if row.problem]


CASES = [(container, way) for container, ways in WAYS_OF.items() for way in ways if way != "URL"]


@pytest.mark.parametrize(("container", "way"), CASES)
def test_an_image_is_read_alike_in_every_way_in_every_container(container, way, folder):
    # Names start from the folder that the source is, or lies in.
    prefix = "../" if container in ("saved", "saved splits", "folder of parquet") and way != "absolute path" else ""
    given = [WAYS[way](f"{prefix}{name}", encode(color), folder) for name, color in COLORS.items()]
    rows = [asking("<image>\nWho?", image=given[0]), asking("Hello", image=None)]
    rows += [asking("What?\n<image>", images=[given[1]])]
    source = CONTAINERS[container](folder, rows)
    expected = [([COLORS["red.png"]], "Who?"), ([], "Hello"), ([COLORS["blue.png"]], "What?")]
    assert trained(source) == expected
    assert audited(source) == (expected, [])


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_row_without_an_image_is_text_only_and_one_that_asks_for_an_image_is_bad(container, folder):
    image = str(folder / "red.png")
    texts = [{"image": None, "images": []}, {"image": "", "images": None}, {}]
    rows = [asking("<image>Who?", image=image), asking("<image>Who?", images=[image])]
    rows += [asking(question, **empty) for question in ("Hello", "<image>What?") for empty in texts]
    source = CONTAINERS[container](folder, rows)
    sound = [([COLORS["red.png"]], "Who?")] * 2 + [([], "Hello")] * 3
    assert trained(source, on_error="skip") == sound
    found, problems = audited(source)
    assert found == sound and [problem.partition(": ")[0] in BAD for problem in problems] == [True] * 3


BAD = ("no image", "image not given")


@pytest.mark.parametrize("container", TABLES)
def test_an_image_of_no_bytes_is_bad_and_never_read_by_its_name(container, folder):
    cells: list[Any] = [
        {"bytes": encode(COLORS["red.png"]), "path": "red.png"},
        {"bytes": b"", "path": str(folder / "blue.png")},
    ]
    rows = [asking("<image>Who?", image=cells[0]), asking("<image>What?", image=cells[1])]
    source = CONTAINERS[container](folder, rows)
    found, problems = audited(source)
    assert trained(source, on_error="skip") == found == [([COLORS["red.png"]], "Who?")]
    assert problems == ["no image: image field 'image' is empty"]


@pytest.mark.parametrize("container", CONTAINERS)
def test_training_refuses_a_url_once_with_what_to_do(container, folder):
    rows = [asking("<image>Who?", image=f"https://host.invalid/{number}.png") for number in range(4)]
    with pytest.raises(InvalidDatasetError) as caught:
        load_safety_dataset(CONTAINERS[container](folder, rows))
    assert "4 of 4 rows" in str(caught.value) and str(caught.value).count("is a URL; download it") == 1


@pytest.fixture
def server(folder) -> Iterator[str]:
    """The address of a server of the folder."""
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


def test_the_audit_fetches_a_url_in_every_container(server, folder):
    rows = [asking("<image>Who?", image=f"{server}/red.png")]
    for number, write in enumerate(CONTAINERS.values()):
        (folder / str(number)).mkdir()
        assert audited(write(folder / str(number), rows)) == ([([COLORS["red.png"]], "Who?")], [])


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_question_and_its_answer_are_a_conversation_in_every_container(container, folder):
    path = str(folder / "red.png")
    rows = [{"image": path, "question": "Who?", "answer": "No.", **LABELS}]
    rows += [{"image": None, "question": "Hello", "answer": "Hello.", **LABELS}]
    source = CONTAINERS[container](folder, rows)
    assert trained(source) == audited(source)[0] == [([COLORS["red.png"]], "Who?"), ([], "Hello")]


@pytest.mark.parametrize("container", CONTAINERS)
def test_two_conversations_of_a_row_are_refused_by_both(container, folder):
    row = {**asking("<image>Who?", image="red.png"), **speak(["user", "assistant"], "messages", ["<image>Why?", "."])}
    source = CONTAINERS[container](folder, [row])
    with pytest.raises(ValueError, match=r"needs one column of conversations|say the same; keep one"):
        load_safety_dataset(source)
    try:
        (problem,) = audited(source)[1]
    except ValueError as error:
        problem = str(error)
    assert "'conversations' and 'messages' say the same; keep one" in problem


@pytest.mark.parametrize("style", ["conversations", "messages"])
@pytest.mark.parametrize("container", CONTAINERS)
def test_a_question_is_found_under_every_role_in_every_container(container, style, folder):
    texts = ["<image>\nWho?", "No."]
    rows = [{"image": str(folder / "red.png"), **speak([*roles], style, texts), **LABELS} for roles in ROLES]
    source = CONTAINERS[container](folder, rows)
    assert trained(source) == audited(source)[0] == [([COLORS["red.png"]], "Who?")] * len(ROLES)


@pytest.mark.parametrize("style", ["conversations", "messages"])
@pytest.mark.parametrize("container", CONTAINERS)
def test_an_unknown_role_is_an_error_of_both_in_every_container(container, style, folder):
    wrong = [role for role in UNKNOWN_ROLES if role is None or isinstance(role, str)]
    speakers = [[role, "gpt"] for role in wrong] + [["human", role] for role in wrong]
    rows = [
        {"image": str(folder / "red.png"), **speak(pair, style, ["<image>Who?", "No."]), **LABELS} for pair in speakers
    ]
    source = CONTAINERS[container](folder, rows)
    with pytest.raises(InvalidDatasetError) as caught:
        load_safety_dataset(source)
    assert len(caught.value.report.bad_rows) == len(rows)
    assert all("has the unknown role" in str(row) for row in caught.value.report.bad_rows)
    found, problems = audited(source)
    assert not found and all("has the unknown role" in problem for problem in problems)


@pytest.mark.parametrize("name", ["rows.tar", "rows.tar.gz", "rows.tgz", "folder"])
def test_samples_of_tar_files_are_rows(name, folder):
    samples = [
        {"png": encode(COLORS["red.png"]), "json": json.dumps(asking("<image>Who?", image="0.png")).encode()},
        {"json": json.dumps(asking("Hello", image=None)).encode()},
        {"json": json.dumps({"answer": "No.", **LABELS}).encode(), "png": encode(COLORS["blue.png"]), "txt": b"What?"},
        {"json": json.dumps(asking("<image>Who?", image="red.png")).encode()},
        {"json": json.dumps(asking("<image>Who?")).encode()},
    ]
    if name == "folder":
        (folder / "tars").mkdir()
        write_tar(folder / "tars" / "train-0.tar", samples[:2])
        write_tar(folder / "tars" / "train-1.tar", samples[2:])
    source = folder / "tars" if name == "folder" else write_tar(folder / name, samples)
    sound = [([COLORS["red.png"]], "Who?"), ([], "Hello"), ([COLORS["blue.png"]], "What?")]
    assert trained(source, on_error="skip") == sound
    rows, problems = audited(source)
    assert rows == sound and [problem.partition(":")[0] for problem in problems] == ["image not given"] * 2


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_metadata_describes_a_folder_of_images(kind, folder):
    (folder / "images" / "sub").mkdir(parents=True)
    for name in ("red.png", "sub/blue.png"):
        (folder / "images" / name).write_bytes(encode(COLORS[Path(name).name]))
    rows = [asking("<image>Who?", file_name="red.png"), asking("<image>What?", file_name="sub/blue.png")]
    with (folder / "images" / f"metadata.{kind}").open("w", newline="") as file:
        if kind == "jsonl":
            file.write("\n".join(map(json.dumps, rows)))
        else:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows({**row, "conversations": json.dumps(row["conversations"])} for row in rows)
    expected = [([COLORS["red.png"]], "Who?"), ([COLORS["blue.png"]], "What?")]
    assert trained(folder / "images") == audited(folder / "images")[0] == expected


def test_an_image_that_metadata_does_not_name_is_audited_all_the_same(folder):
    (folder / "metadata.jsonl").write_text(json.dumps(asking("<image>Who?", file_name="red.png")))
    assert audited(folder)[0] == [([COLORS["red.png"]], "Who?"), ([COLORS["blue.png"]], None)]


BY_NAME = [(container, way) for container, way in CASES if way in ("name", "path in a dictionary")]


@pytest.mark.parametrize(("container", "way"), BY_NAME)
def test_names_start_from_the_image_folder_that_is_given(container, way, folder):
    (folder / "rows").mkdir()
    source = CONTAINERS[container](folder / "rows", [asking("<image>Who?", image=WAYS[way]("red.png", b"", folder))])
    expected = [([COLORS["red.png"]], "Who?")]
    assert trained(source, image_folder=folder) == audited(source, image_folder=str(folder))[0] == expected


@pytest.mark.parametrize("container", TABLES)
def test_an_image_folder_from_which_no_name_starts_is_refused(container, folder):
    row = asking("<image>Who?", image=encode(COLORS["red.png"]))
    source = CONTAINERS[container](folder, [row])
    with pytest.raises(ValueError, match="`image_folder` has no effect"):
        load_safety_dataset(source, image_folder=folder)
    with pytest.raises(ValueError, match="--image-folder would have no effect"):
        audited(source, image_folder=str(folder))
