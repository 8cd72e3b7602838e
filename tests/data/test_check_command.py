"""`safe-llava data check`: what it prints and writes, and that exit code 0 means that every row can be trained on."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from set_rows import encode, make_image, make_set
from typer.testing import CliRunner

from safe_llava.cli import app


def run(*arguments):
    return CliRunner().invoke(app, ["data", "check", *map(str, arguments)])


@pytest.fixture
def broken(write_lines, record, image_folder):
    return write_lines(
        record(), record(safe_level=9), record(image="gone.png"), record(image="gone.png")
    ), image_folder


@pytest.fixture
def make_rows_without_paths():
    def make(path):
        row = {
            "messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Nobody."}],
            "safety_level": 0,
            "safety_type": 6,
        }
        rows = [{**row, "images": [{"bytes": encode(make_image(seed)), "path": None}]} for seed in (1, 2)]
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path

    return make


def test_sound_rows_end_in_exit_code_0_with_page_and_figures(write_lines, record, image_folder, tmp_path):
    page, figures = tmp_path / "page.html", tmp_path / "check.json"
    arguments = ("--image-folder", image_folder, "--page", page, "--json", figures)
    result = run(write_lines(record(), record(image="blue.png")), *arguments)
    assert result.exit_code == 0, result.output
    assert "2 rows to train on" in result.stdout
    assert json.loads(figures.read_text())["safety_level"]["known"] == 2
    assert page.read_text().count("data:image/jpeg") == 2


def test_earlier_outputs_are_replaced_and_nothing_else(write_lines, record, image_folder, tmp_path):
    source, page, figures = write_lines(record()), tmp_path / "page.html", tmp_path / "check.json"
    image = next(image_folder.glob("*.png"))
    for _ in range(2):
        written = run(source, "--image-folder", image_folder, "--page", page, "--json", figures)
        assert written.exit_code == 0, written.output
    others = [("--json", source), ("--page", image), ("--page", figures), ("--json", page)]
    for option, path in others:
        before = path.read_bytes()
        result = run(source, "--image-folder", image_folder, option, path)
        assert result.exit_code == 1 and option in result.stderr and str(path) in result.stderr
        assert path.read_bytes() == before
    result = run(source, "--image-folder", image_folder, "--page", tmp_path / "one", "--json", tmp_path / "one")
    assert result.exit_code == 1 and "the same file" in result.stderr


def test_images_that_all_lack_a_path_can_be_trained_on(make_rows_without_paths, tmp_path):
    result = run(make_rows_without_paths(tmp_path / "rows.parquet"))
    assert result.exit_code == 0, result.output
    assert "2 rows to train on" in result.stdout


def test_broken_rows_end_in_exit_code_1_with_each_fault_once(broken, tmp_path):
    source, folder = broken
    result = run(source, "--image-folder", folder, "--page", tmp_path / "page.html")
    assert result.exit_code == 1
    assert result.output.count("gone.png is missing") == result.stdout.count("9 is neither") == 1
    assert "Broken: 3 rows" in result.stderr and "on_bad_rows: skip" in result.stderr
    assert (tmp_path / "page.html").is_file()


def test_contradicting_copies_end_in_exit_code_1(write_lines, record, image_folder):
    source = write_lines(record(), record(safe_level=3, safe_type=4))
    result = run(source, "--image-folder", image_folder)
    assert (result.exit_code, "Contradicting" in result.stderr) == (1, True)


def test_rows_of_a_benchmark_are_named_and_left_out(tmp_path):
    make_set({"images": [1]}, {"images": [2]}).save_to_disk(tmp_path / "set")
    (tmp_path / "siuo" / "images").mkdir(parents=True)
    (tmp_path / "siuo" / "images" / "S-01.png").write_bytes(encode(make_image(2)))
    row = {"question_id": 1, "image": "S-01.png", "question": "What ?", "category": "morality"}
    (tmp_path / "siuo" / "siuo_gen.json").write_text(json.dumps([row]))
    result = run(tmp_path / "set", "--benchmark", f"siuo={tmp_path / 'siuo'}")
    assert result.exit_code == 0, result.output
    assert "siuo has 1 row by image and question" in result.stdout
    assert "1 row to train on" in result.stdout


def test_a_recipe_is_checked_by_its_file(broken, tmp_path):
    source, folder = broken
    recipe = {"stage": 1, "datasets": [{"name": str(source), "image_folder": str(folder)}]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    result = run("--config", tmp_path / "recipe.yaml")
    assert (result.exit_code, "1 of 4 rows" in result.stdout) == (1, True), result.output


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        ((), 2, "SOURCE"),
        (("rows.json", "--config", "pyproject.toml"), 2, "SOURCE"),
        (("--config", "pyproject.toml", "--split", "test"), 2, "--config"),
        (("--config", "pyproject.toml", "--benchmark", "siuo=x"), 2, "--config"),
        (("rows.json", "--benchmark", "siuo"), 1, "NAME=PATH"),
        (("rows.json", "--benchmark", "suio=x"), 1, "suio"),
        (("rows.json", "--unlabelled", "safe"), 2, "--unlabelled"),
        (("rows.json", "--split", "test"), 1, "no splits"),
        (("nowhere.json",), 1, "nowhere.json"),
    ],
)
def test_what_cannot_be_done_is_named(arguments, code, named):
    result = run(*arguments)
    assert (result.exit_code, named in result.stderr) == (code, True), result.output
