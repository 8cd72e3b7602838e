"""A small reproduction whose sets are made by one-line commands, in a folder that looks like a clone."""

from pathlib import Path

import pytest
import yaml


ROOT = Path(__file__).parents[3]


@pytest.fixture
def clone(tmp_path, monkeypatch) -> Path:
    """A working folder with the recipes and the package at hand."""
    for name in ("model_cards", "recipes", "safe_llava"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def fields() -> dict:
    """What the reproduction's file says; tests change it before they write it."""
    return {
        "output_dir": "out",
        "base": "base",
        "shape": "miniature",
        "data": "Synthetic.",
        "gpus": 0,
        "sets": {
            "psa": {"root": "sets/psa", "get": _write("sets/psa/train.json"), "licence": "none stated"},
            "clean": {"root": "sets/clean", "get": _write("sets/clean/train.json"), "licence": "CC-BY-4.0"},
            "validation": {"root": "sets/validation", "get": _write("sets/validation/a.json"), "licence": "free"},
            "bench": {"root": "sets/bench", "get": _write("sets/bench/test.json"), "licence": "free"},
        },
        "convert": {"num_safety_tokens": 8},
        "stage1": {
            "recipe": "recipes/miniature/stage1.yaml",
            "rows": 10,
            "fields": {"datasets": [{"name": "sets/psa/train.json"}]},
        },
        "stage2": {
            "recipe": "recipes/miniature/stage2.yaml",
            "rows": 10,
            "fields": {"datasets": [{"name": "sets/clean/train.json", "unlabelled": "clean"}]},
        },
        "calibrate": {"dataset": "sets/validation/a.json"},
        "evaluate": {"suite": ["safety"], "benchmark": {"vlguard": "sets/bench"}, "judge": "none"},
    }


@pytest.fixture
def write_config(clone, fields):
    """Writes the file, and the base that it names."""

    def write(name: str = "reproduction.yaml") -> Path:
        if not (clone / "base").exists():
            (clone / "base").mkdir()
            (clone / "base" / "config.json").write_text("{}")
        path = clone / name
        path.write_text(yaml.safe_dump(fields, sort_keys=False))
        return path

    return write


def _write(path: str) -> str:
    code = f"from pathlib import Path; p = Path('{path}'); p.parent.mkdir(0o777, True, True); p.write_text('[]')"
    return f'python -c "{code}"'
