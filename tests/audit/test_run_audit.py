"""However often it is killed, and however many processes share the work, the table is the same."""

import random
from importlib import import_module

import pytest
from tqdm.auto import tqdm

from safe_llava.audit.verdict_table import read_verdicts


class KilledError(Exception):
    """Stands in for a kill between two rows; `tests/audit/test_audit_command.py` kills for real."""


@pytest.fixture
def unbroken(whole_audit):
    return read_verdicts(whole_audit / "verdicts")


@pytest.fixture
def audit_until(audit, monkeypatch):
    """Audits until so many rows have been seen."""

    def run_until(rows: int, *arguments, **options):
        left = iter(range(rows))

        class Bar(tqdm):
            # The audit's own: others, such as that of loading, are updated by the clock.
            def update(self, n=1):
                if next(left, None) is None:
                    raise KilledError

        with monkeypatch.context() as patched:
            patched.setattr(import_module("safe_llava.audit.run_audit"), "tqdm", Bar)
            with pytest.raises(KilledError):
                audit(*arguments, **options)

    return run_until


def test_a_stopped_audit_goes_on_to_the_same_table(audit, audit_until, image_folder, unbroken, verdicts):
    numbers = random.Random(0)
    for _ in range(5):
        audit_until(numbers.randrange(1, 10), image_folder)
    audit(image_folder)
    assert verdicts().equals(unbroken)


def test_what_is_finished_is_not_assessed_again(audit, audit_until, image_folder, tmp_path):
    audit_until(20, image_folder)
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "audit" / "verdicts").glob("shard-*")}
    assert finished
    audit(image_folder)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


@pytest.mark.parametrize("world_size", [2, 4])
def test_any_number_of_processes_makes_the_same_table(
    audit, image_folder, unbroken, verdicts, monkeypatch, world_size
):
    monkeypatch.setenv("WORLD_SIZE", str(world_size))
    outcomes = []
    for rank in range(world_size):
        monkeypatch.setenv("RANK", str(rank))
        outcomes.append(audit(image_folder))
    assert verdicts().equals(unbroken)
    assert [outcome.summary is not None for outcome in outcomes] == [False] * (world_size - 1) + [True]


def test_it_goes_on_with_another_number_of_processes(
    audit, audit_until, image_folder, unbroken, verdicts, monkeypatch
):
    audit_until(20, image_folder)
    for rank in range(3):
        monkeypatch.setenv("WORLD_SIZE", "3")
        monkeypatch.setenv("RANK", str(rank))
        audit(image_folder)
    assert verdicts().equals(unbroken)


def test_a_finished_audit_gives_its_summary_again(audit, image_folder):
    assert audit(image_folder).summary == audit(image_folder).summary


def test_images_that_vanish_meanwhile_are_rows_with_that_reason(audit, audit_until, make_image, tmp_path, rows_by_key):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(20):
        make_image(number).save(folder / f"{number:02}.png")
    audit_until(9, folder)
    (folder / "19.png").unlink()
    audit(folder)
    assert rows_by_key()["19.png"]["reason"].startswith("missing: ")


@pytest.mark.parametrize(
    "changed, options",
    [
        ("policy", {"policy": {"types": {"privacy": {"threshold": 0.9}}}}),
        ("shard size", {"shard_size": 4}),
        ("source", {"split": "test"}),
    ],
)
def test_another_audit_in_the_same_folder_is_refused(audit, image_folder, changed, options):
    audit(image_folder)
    with pytest.raises(ValueError, match=f"holds an audit with another {changed}"):
        audit(image_folder, **options)
