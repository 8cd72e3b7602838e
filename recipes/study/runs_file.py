"""The finished runs of a study, one JSON object a line, in one file that is whole at any moment."""

import json
from pathlib import Path
from typing import Any

from filelock import FileLock

from safe_llava.files import atomic_path


Run = dict[str, Any]
"""What [`run_cell`] returns: its `cell` and `seed` say which run it is."""


def runs_path(output_dir: Path) -> Path:
    """Where a study keeps its runs."""
    return output_dir / "runs.jsonl"


def models_dir(output_dir: Path) -> Path:
    """Where a study keeps its models, and the locks of whoever works there."""
    return output_dir / "models"


def read_runs(output_dir: Path) -> dict[tuple[str, int], Run]:
    """The runs that are kept, by cell and seed; none where there is no file yet."""
    path = runs_path(output_dir)
    if not path.exists():
        return {}
    runs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {(run["cell"], run["seed"]): run for run in runs}


def keep_run(output_dir: Path, run: Run) -> None:
    """
    Keep one run at once, in the place of an older one of this cell and seed. Several processes may do so.

    Args:
        output_dir (`Path`): the study's folder.
        run (`Run`): the finished run.
    """
    with FileLock(models_dir(output_dir) / "runs.lock"):
        runs = read_runs(output_dir) | {(run["cell"], run["seed"]): run}
        with atomic_path(runs_path(output_dir)) as partial:
            lines = [json.dumps(runs[name], allow_nan=False) + "\n" for name in sorted(runs)]
            partial.write_text("".join(lines), encoding="utf-8")
