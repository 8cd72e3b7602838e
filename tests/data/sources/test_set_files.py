"""Where a public set's files are sought, and arguments that would have no effect on one."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from published_sets import encoded, write_csv

from safe_llava.data import load_safety_dataset
from safe_llava.data.sources import PUBLIC_SETS, read_public_set
from safe_llava.evaluation.benchmarks import load_benchmark


@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_a_split_that_does_not_exist_is_refused_with_those_that_do(name, roots):
    with pytest.raises(ValueError, match=f"{name} has no split 'dev': it has {', '.join(PUBLIC_SETS[name].splits)}"):
        load_safety_dataset(name, roots[name], split="dev")


@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_every_split_but_train_can_be_asked_for(name, roots):
    if name != "llavaguard":
        for split in PUBLIC_SETS[name].splits[1:]:
            assert len(load_safety_dataset(name, roots[name], split=split)[0])


def test_the_splits_of_rtvlm_share_no_record_and_leave_none_out(roots):
    parts = [read_public_set(PUBLIC_SETS["rtvlm"], roots["rtvlm"], split).dataset for split in ("train", "test")]
    train, test = ({*part["place"]} for part in parts)
    assert (len(train & test), len(train | test), len(test) > 0) == (0, 55, True)


def test_what_is_kept_from_training_on_rtvlm_is_what_the_benchmark_tests(roots):
    kept = read_public_set(PUBLIC_SETS["rtvlm"], roots["rtvlm"], "test").dataset["messages"]
    asked = [row.question for row in load_benchmark("rtvlm", roots["rtvlm"], "seed0-test")]
    assert [turns[0]["content"][-1]["text"] for turns in kept] == asked


@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_a_folder_without_its_files_is_refused_with_what_was_expected(name, tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(ValueError, match=r"must hold|are missing"):
        load_safety_dataset(name, tmp_path)


def test_a_root_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="give your copy of VLGuard"):
        load_safety_dataset("vlguard", tmp_path / "nothing")


def test_a_set_that_is_not_on_the_hub_needs_its_root():
    with pytest.raises(ValueError, match=r"psa is not on the Hub\..*`root`"):
        load_safety_dataset("psa")


def test_a_hub_id_is_fetched_and_only_the_split_that_is_wanted(roots, monkeypatch):
    asked = []

    def snapshot_download(*args, **kwargs):
        asked.append((args, kwargs))
        return str(roots["vlguard"])

    monkeypatch.setattr("safe_llava.data.sources.set_files.snapshot_download", snapshot_download)
    assert len(load_safety_dataset("vlguard")[0]) == len(load_safety_dataset("vlguard", "me/copy")[0]) == 3
    wanted = {"repo_type": "dataset", "allow_patterns": ["train.json", "train.zip"]}
    assert asked == [(("ys-zong/VLGuard",), wanted), (("me/copy",), wanted)]


def test_a_table_says_nothing_of_its_split_and_the_folder_is_asked_for(roots):
    with pytest.raises(ValueError, match="give the folder of VLGuard"):
        load_safety_dataset("vlguard", roots["vlguard"] / "train.json", split="test")
    assert len(load_safety_dataset("psa", roots["psa"] / "train.json")[0]) == 3


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("vlguard", {"image_folder": "images"}),
        ("vlguard", {"config_name": "default"}),
        ("vlguard", {"unlabelled": "clean"}),
        ("rows.jsonl", {"root": "folder"}),
        ("rows.jsonl", {"label_map": {}}),
    ],
)
def test_an_argument_without_effect_is_refused(name, arguments, roots):
    root = {"root": roots["vlguard"]} if name == "vlguard" else {}
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` has no effect"):
        load_safety_dataset(name, **{**root, **arguments})


def test_a_path_that_is_called_like_a_set_is_a_path(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_safety_dataset(tmp_path / "vlguard")


@pytest.mark.parametrize("name", ["psa", "llava-instruct", "llavaguard"])
def test_images_that_are_published_apart_may_lie_elsewhere(name, copy_of, tmp_path):
    root = copy_of(name)
    (root / "images").rename(tmp_path / "images")
    folder = tmp_path if name != "llavaguard" else tmp_path / "images"
    assert len(load_safety_dataset(name, root, image_folder=folder)[0])


@pytest.fixture
def image_server(tmp_path) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "9.png").write_bytes(encoded(9))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "served"))

        def log_message(self, *args) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_image_is_fetched_where_it_is_not_here_and_what_cannot_be_fetched_is_a_bad_row(
    image_server, tmp_path, monkeypatch
):
    for name in ("HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.setattr(f"datasets.config.{name}", False)
    monkeypatch.setattr("datasets.config.DOWNLOADED_DATASETS_PATH", tmp_path / "downloads")
    row = {"rating": "Safe", "category": "NA: None applying"}
    rows = [{"id": name, "url": f"{image_server}/{name}.png", **row} for name in ("9", "10")]
    write_csv(tmp_path / "set" / "train.csv", rows)
    with pytest.raises(ValueError, match=r"1 of 2 rows .*\n  row 2: .*line 3: image .*10\.png is missing: it cannot"):
        load_safety_dataset("llavaguard", tmp_path / "set")
    dataset, _ = load_safety_dataset("llavaguard", tmp_path / "set", on_error="skip")
    assert dataset[0]["images"][0].size == (32, 32)


def test_images_of_archives_are_read_from_the_disk(roots):
    dataset, _ = load_safety_dataset("vlguard", roots["vlguard"])
    assert [Path(file["filename"]).suffix for file in dataset.cache_files] == [".arrow"]
    assert dataset[0]["images"][0].getpixel((0, 0))[0] == 5
