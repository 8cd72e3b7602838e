"""However a source is broken, one line says which file or field it is, and nothing is left behind."""

import os
import re
import shutil

import pytest
from broken_sources import BROKEN
from stock_checkpoints import save_llava
from typer.testing import CliRunner

from safe_llava.cli import app
from safe_llava.conversion import convert_llava_checkpoint


SMALL = ["--num-safety-tokens", "4", "--num-safety-visual-tokens", "9"]


@pytest.fixture(scope="module")
def sound(tiny_llava, tiny_llava_processor, tmp_path_factory):
    return save_llava(tiny_llava, tiny_llava_processor, tmp_path_factory.mktemp("sound") / "source", "hub")


@pytest.fixture
def source(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "work" / "source")


def convert(source):
    return CliRunner().invoke(app, ["convert", str(source), str(source.parent / "output"), *SMALL])


def assert_refused(source, named):
    result = convert(source)
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == 1
    assert result.stderr.count("Traceback") == 0
    said = re.fullmatch(r"(?s)(?:.*[\r\n])?Error: ([^\n]+)\n", result.stderr)
    assert said, result.stderr
    assert named in said[1]
    assert not {path.name for path in source.parent.iterdir()} - {"source", "elsewhere.safetensors"}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_source_is_refused_by_name(case, source):
    break_source, named = BROKEN[case]
    break_source(source)
    assert_refused(source, named)


def test_a_source_that_may_not_be_read_is_refused_by_name(source):
    source.chmod(0)
    try:
        os.seteuid(65534 if os.geteuid() == 0 else os.geteuid())  # root may read everything
        with pytest.raises(PermissionError, match="source"):
            convert_llava_checkpoint(source, source.parent / "output")
    finally:
        os.seteuid(os.getuid())
        source.chmod(0o755)
