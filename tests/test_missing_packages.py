"""Packages that come with several extras: a command names its own."""

import sys

import pytest
from typer.testing import CliRunner

from safe_llava.cli import app


@pytest.mark.parametrize(
    ("command", "package"), [("serve", "fastapi"), ("serve", "httpx2"), ("demo", "nicegui"), ("demo", "httpx2")]
)
def test_a_missing_package_is_named_with_the_extra_of_the_command(monkeypatch, command, package):
    monkeypatch.setitem(sys.modules, package, None)
    for name in [name for name in sys.modules if name.startswith(("safe_llava.demo", "safe_llava.serving"))]:
        monkeypatch.delitem(sys.modules, name)
    result = CliRunner().invoke(app, [command, "model"], env={"COLUMNS": "140"})
    assert (result.exit_code, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert f"{package} is missing. Install it: pip install 'safe-llava[{command}]'" in line
