"""
Writes the versions that `.ci/run` tests the core with: `python tests/constraints/refresh.py`.

`newest.txt` has what pip resolves today without constraints. `lowest.txt` has the lower bounds of pyproject.toml, with
what pip resolves beside them. Both are files, so that a release of tomorrow turns no unrelated change red.
"""

import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable
from pathlib import Path

import tomllib


HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TEST_RUNNER = ("pytest", "pytest-xdist")


def read_lower_bounds() -> list[str]:
    """The dependencies of pyproject.toml, each pinned to the lowest version that it admits."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return [re.sub(r">=([\d.]+).*", r"==\1", dependency) for dependency in dependencies]


def resolve(pins: Iterable[str]) -> str:
    """What pip installs into a fresh environment beside these pins, a line a package."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", str(ROOT), *TEST_RUNNER, *pins], check=True)
        frozen = subprocess.run(
            [python, "-m", "pip", "freeze", "--exclude", "safe-llava"], check=True, capture_output=True, text=True
        )
    return frozen.stdout


def main() -> None:
    for name, pins in (("newest", []), ("lowest", read_lower_bounds())):
        path = HERE / f"{name}.txt"
        path.write_text(
            f"# Written by tests/constraints/refresh.py on Python {sys.version.split()[0]}.\n{resolve(pins)}"
        )
        print(f"Wrote {path}")


if __name__ == "__main__":
    main()
