"""The files of a Space: they say one port and one version, and take the place of nothing that is not theirs."""

import importlib.metadata
import json
import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from safe_llava import __version__
from safe_llava.demo import space
from safe_llava.demo.space import write_space


FILES = {"app.py", "requirements.txt", "README.md", "Dockerfile", "model"}


def write(model: object, folder: Path, policy: Path | None = None) -> None:
    write_space(str(model), folder, policy=policy, max_new_tokens=100, dtype="auto")


@pytest.fixture
def policy(tmp_path) -> Path:
    (tmp_path / "mine.json").write_text('{"actions": {"high": "refuse"}}')
    return tmp_path / "mine.json"


def test_header_container_and_page_speak_of_one_port(demo_checkpoint, tmp_path):
    write(demo_checkpoint, tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} == FILES
    header = yaml.safe_load((tmp_path / "new" / "README.md").read_text().split("---\n")[1])
    assert (header["sdk"], header["title"]) == ("docker", "alarmed demo")
    dockerfile = (tmp_path / "new" / "Dockerfile").read_text()
    assert f"EXPOSE {header['app_port']}" in dockerfile and f"DEMO_PORT={header['app_port']}" in dockerfile
    assert set(re.findall(r"DEMO_\w+", dockerfile)) == set(
        re.findall(r"DEMO_\w+", (tmp_path / "new" / "app.py").read_text())
    )


def test_every_requirement_is_pinned_to_what_is_installed(demo_checkpoint, tmp_path):
    write(demo_checkpoint, tmp_path)
    lines = (tmp_path / "requirements.txt").read_text().splitlines()
    first, *others = [Requirement(line) for line in lines if not line.startswith("#")]
    assert str(first) == f"safe-llava[demo]=={__version__}"
    assert {"torch", "transformers", "nicegui", "httpx2"} <= {other.name for other in others}
    for other in others:
        assert importlib.metadata.version(other.name).partition("+")[0] in other.specifier


def test_the_packages_of_the_page_are_those_of_its_extra():
    tomllib = pytest.importorskip("tomllib")
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert tuple(Requirement(text).name for text in extras["optional-dependencies"]["demo"]) == space.PAGE_PACKAGES


def test_it_is_written_again_over_itself_and_leaves_nothing_of_before(demo_checkpoint, tmp_path, policy):
    folder = tmp_path / "space"
    write(demo_checkpoint, folder, policy)
    assert json.loads((folder / "policy.json").read_text()) == json.loads(policy.read_text())
    assert "policy=HERE / 'policy.json'" in (folder / "app.py").read_text()
    (folder / ".git").mkdir()
    (folder / "model" / "old.txt").touch()
    write(demo_checkpoint, folder)
    assert {path.name for path in folder.iterdir()} == FILES | {".git"}
    assert not (folder / "model" / "old.txt").exists()


@pytest.mark.parametrize("theirs", ["app.py", "README.md", ".gitattributes"])
def test_a_folder_of_somebody_else_stays_as_it_is(demo_checkpoint, tmp_path, theirs):
    (tmp_path / theirs).write_text("print('mine')")
    with pytest.raises(ValueError, match="is not empty and holds no Space"):
        write(demo_checkpoint, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {theirs: "print('mine')"}


def test_nothing_is_written_for_a_model_that_cannot_be_shown(demo_checkpoint, tiny_llava, tmp_path):
    tiny_llava.config.save_pretrained(tmp_path / "stock")
    config = json.loads((demo_checkpoint / "config.json").read_text())
    for name, changes in (("no-head", {"use_safety_head": False}), ("no-policy", {"safety_policy": None})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config | changes))
    for name, words in (("stock", "safe-llava convert"), ("no-head", "no safety head"), ("no-policy", "--policy")):
        with pytest.raises(ValueError, match=words):
            write(tmp_path / name, tmp_path / "space")
    with pytest.raises(ValueError, match="a folder outside"):
        write(demo_checkpoint, demo_checkpoint / "space")
    assert not (tmp_path / "space").exists() and not (demo_checkpoint / "space").exists()


def test_a_model_of_the_hub_is_named_with_its_commit(demo_checkpoint, tmp_path, monkeypatch):
    config = space.read_config(demo_checkpoint)
    monkeypatch.setattr(space, "read_config", lambda name: config)
    monkeypatch.setattr(space, "identify_checkpoint", lambda name: {"model": name, "model_files": "c0ffee"})
    write("org/safe-llava", tmp_path)
    app = (tmp_path / "app.py").read_text()
    compile(app, "app.py", "exec")
    assert "snapshot_download('org/safe-llava', revision='c0ffee')" in app
    assert "name='safe-llava'" in app and not (tmp_path / "model").exists()
    assert yaml.safe_load((tmp_path / "README.md").read_text().split("---\n")[1])["models"] == ["org/safe-llava"]
