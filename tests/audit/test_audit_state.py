"""Whatever is done to an audit's own files, it never ends with a wrong table and exit code 0."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tqdm.auto import tqdm
from typer.testing import CliRunner, Result

from safe_llava.audit.verdict_table import part_paths, read_verdicts
from safe_llava.cli import app


NUM_IMAGES = 30


@pytest.fixture(scope="module")
def folder(make_image, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(NUM_IMAGES):
        make_image(number).save(folder / f"{number:02}.png")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def run_into(guard_checkpoint, folder) -> Callable[..., Result]:
    def run(output_dir: Path, *more: object) -> Result:
        options = ["--model", guard_checkpoint, "--output-dir", output_dir, "--device", "cpu"]
        sizes = ["--shard-size", 8, "--batch-size", 3]
        return CliRunner().invoke(app, list(map(str, ["audit", folder, *options, *sizes, *more])))

    return run


@pytest.fixture
def run(run_into, tmp_path) -> Callable[..., Result]:
    return lambda *more: run_into(tmp_path / "audit", *more)


@pytest.fixture(scope="module")
def finished_audit(run_into, tmp_path_factory) -> Path:
    output_dir = tmp_path_factory.mktemp("finished") / "audit"
    assert run_into(output_dir).exit_code == 0
    return output_dir


@pytest.fixture
def finished(finished_audit, tmp_path) -> Path:
    """A finished audit to be tampered with."""
    return shutil.copytree(finished_audit, tmp_path / "audit")


@pytest.fixture
def meanwhile(run, monkeypatch) -> Callable[..., Result]:
    """`meanwhile(change)` audits, and calls `change()` behind row 20 of 30."""

    def run_with(change: Callable[[], object]) -> Result:
        rows, update = iter(range(NUM_IMAGES)), tqdm.update

        def count(bar: tqdm, *arguments: int) -> bool | None:
            # Other bars, such as that of loading, are passed over.
            if bar.total == NUM_IMAGES and next(rows) == 20:
                change()
            return update(bar, *arguments)

        with monkeypatch.context() as patched:
            patched.setattr(tqdm, "update", count)
            return run()

    return run_with


def parts(audit: Path) -> list[Path]:
    return part_paths(audit / "verdicts")


def require_refusal(result: Result, name: str) -> None:
    assert result.exit_code == 2, result.output
    assert name in result.output and "Traceback" not in result.output
    assert len([line for line in result.output.splitlines() if line.startswith("Error")]) == 1


def double(audit: Path) -> str:
    copy = parts(audit)[-1].with_name("shard-0000003-part-0000001.parquet")
    shutil.copy(parts(audit)[-1], copy)
    return copy.name


def copy_over(audit: Path) -> str:
    shutil.copy(parts(audit)[0], parts(audit)[1])
    return parts(audit)[1].name


def add_shard(audit: Path) -> str:
    copy = parts(audit)[0].with_name("shard-0000009-part-0000000.parquet")
    rewrite(parts(audit)[0], copy, file=copy.name)
    return copy.name


def add_foreign_table(audit: Path) -> str:
    shutil.copy(audit / "manifest.parquet", audit / "verdicts" / "manifest.parquet")
    return "verdicts/manifest.parquet"


def add_foreign_file(audit: Path) -> str:
    (audit / "verdicts" / "shard-0 (1).parquet").write_text("")
    return "shard-0 (1).parquet"


def cut_off(audit: Path) -> str:
    path = parts(audit)[1]
    path.write_bytes(path.read_bytes()[:200])
    return path.name


def forget_a_row(audit: Path) -> str:
    rewrite(parts(audit)[1], parts(audit)[1], rows=7)
    return parts(audit)[1].name


def rewrite(source: Path, target: Path, rows: int | None = None, **facts: object) -> None:
    table = pq.read_table(source).slice(0, rows)
    metadata = {
        **table.schema.metadata,
        **{name.encode(): json.dumps(value).encode() for name, value in facts.items()},
    }
    pq.write_table(table.replace_schema_metadata(metadata), target)


def break_plan(audit: Path) -> str:
    path = audit / "plan.json"
    path.write_text(path.read_text()[:100])
    return "plan.json"


def empty_plan(audit: Path) -> str:
    (audit / "plan.json").write_text("[]")
    return "plan.json"


def change_type_in_plan(audit: Path) -> str:
    path = audit / "plan.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_shards": "4"}))
    return "plan.json"


def change_policy_in_plan(audit: Path) -> str:
    path = audit / "plan.json"
    plan = json.loads(path.read_text())
    plan["policy"]["types"]["privacy"]["enabled"] = False
    path.write_text(json.dumps(plan))
    return "shard-0000000-part-0000000.parquet was not written under this plan.json"


def break_manifest(audit: Path) -> str:
    (audit / "manifest.parquet").write_bytes(b"PAR1")
    return "manifest.parquet"


def remove_manifest(audit: Path) -> str:
    (audit / "manifest.parquet").unlink()
    return "manifest.parquet"


CHANGES = [double, copy_over, add_shard, add_foreign_table, add_foreign_file, cut_off, forget_a_row]
CHANGES += [break_plan, empty_plan, change_type_in_plan, change_policy_in_plan, break_manifest, remove_manifest]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_file_that_does_not_belong_there_is_named(run, finished, change):
    name = change(finished)
    require_refusal(run(), name)


def test_a_part_that_was_deleted_is_assessed_again(run, finished, finished_audit):
    parts(finished)[1].unlink()
    assert run().exit_code == 0
    assert read_verdicts(finished).equals(read_verdicts(finished_audit))


def test_a_plan_that_was_deleted_is_made_again_only_with_the_same_settings(run, finished):
    (finished / "plan.json").unlink()
    assert run().exit_code == 0
    (finished / "plan.json").unlink()
    policy = finished.parent / "policy.json"
    policy.write_text(json.dumps({"types": {"privacy": {"enabled": False}}}))
    require_refusal(run("--policy", policy), "shard-0000000-part-0000000.parquet was not written under this plan.json")


@pytest.mark.parametrize("name", ["verdicts/shard-0000000-part-0000000.parquet", "plan.json", "manifest.parquet"])
def test_what_is_deleted_on_the_way_is_named(meanwhile, tmp_path, name):
    require_refusal(meanwhile((tmp_path / "audit" / name).unlink), name)
    assert not (tmp_path / "audit" / "summary.json").exists()


def test_a_folder_that_is_removed_on_the_way_is_missed(meanwhile, tmp_path):
    require_refusal(meanwhile(lambda: shutil.rmtree(tmp_path / "audit")), "plan.json is gone")


def test_what_killed_processes_had_begun_to_write_is_removed(run, finished):
    begun = [finished / ".summary.json.123.partial", finished / "verdicts" / f".{parts(finished)[0].name}.123.partial"]
    for path in begun:
        path.write_text("")
    assert run().exit_code == 0
    assert not list(finished.rglob("*.partial"))
