"""What needs no model is said at once: without `import safe_llava`, which loads torch and transformers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from safe_llava import __version__
from safe_llava.cli import app


ROOT = Path(__file__).parents[1]
COMMANDS = (
    *("", "quickstart", "convert", "ask", "calibrate", "evaluate", "attack", "policy"),
    *("audit", "serve", "demo", "export", "review", "data"),
)
SUBCOMMANDS = ("review rate", "review agreement", "data show", "data check")

MISTYPED = (
    ("--version", 0, __version__),
    ("ask model --question Who? --image nowhere.png", 2, "nowhere.png"),
    ("ask model", 2, "--question"),
    ("ask model --question Who? --evidence why.png", 2, "--image"),
    ("convert source output --chat-template nowhere.jinja", 2, "nowhere.jinja"),
    ("convert source output --dtype int4", 2, "int4"),
    ("calibrate model data --output-dir out --target-recall 0.9 --target-over-refusal 0.1", 2, "not both"),
    ("attack model --output-dir out --world smol", 2, "--from"),
    ("attack model --output-dir out --from .", 2, "--world smol"),
    ("quickstart --image nowhere.png", 2, "nowhere.png"),
    ("quickstart --yes", 2, "--world smol"),
    ("quickstart --from .", 2, "--world smol"),
    ("quickstart --world smol --from . --yes", 2, "no effect"),
    ("demo model --space space --port 80", 2, "no effect"),
    ("review rate nowhere.jsonl --rater Me --output ratings.jsonl", 2, "nowhere.jsonl"),
)
# Every command in one process that has loaded nothing else, and what is loaded after each.
SCRIPT = """
import contextlib, io, json, sys
from {package} import {name} as app

done = {{}}
for command in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            app(command.split())
        except SystemExit as end:
            done[command] = end.code, said.getvalue(), sorted(sys.modules)
json.dump(done, sys.stdout)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What each command did as its console script, with the folder as the package that setuptools makes of it."""
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    package, name = project["project"]["scripts"]["safe-llava"].split(":")
    folder = tmp_path_factory.mktemp("installed")
    (folder / package).symlink_to(ROOT / project["tool"]["setuptools"]["package-dir"][package])
    commands = [f"{command} --help" for command in (*COMMANDS, *SUBCOMMANDS)]
    commands += [command for command, *_ in MISTYPED]
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(package=package, name=name)],
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"},
        cwd=folder,
        input=json.dumps(commands),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def assert_nothing_heavy(loaded: list[str]) -> None:
    assert "typer" in loaded
    assert not {*loaded} & {"torch", "transformers", "datasets", "numpy", "PIL", "safe_llava"}
    assert len(loaded) < 1000


@pytest.mark.parametrize("command", [*COMMANDS, *SUBCOMMANDS])
def test_help(installed, command):
    exit_code, said, loaded = installed[f"{command} --help"]
    assert exit_code == 0 and "Usage" in said, said
    assert_nothing_heavy(loaded)


def test_every_command_is_among_these():
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    groups = {group.name: group.typer_instance.registered_commands for group in app.registered_groups}
    assert {"", *commands, *groups} == set(COMMANDS)
    named = {f"{group} {command.callback.__name__}" for group, commands in groups.items() for command in commands}
    assert named == set(SUBCOMMANDS)


@pytest.mark.parametrize(("command", "expected", "word"), MISTYPED)
def test_version_and_mistyped_arguments(installed, command, expected, word):
    exit_code, said, loaded = installed[command]
    assert exit_code == expected
    assert word in " ".join(said.split())
    assert_nothing_heavy(loaded)
