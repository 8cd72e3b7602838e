"""The versions that .ci/run tests with are those that pyproject.toml promises."""

import re
from pathlib import Path

import pytest
from constraints.refresh import read_lower_bounds


CONSTRAINTS = Path(__file__).parent / "constraints"


def read_pins(name: str) -> dict[str, str]:
    lines = (CONSTRAINTS / name).read_text().splitlines()
    return dict(line.lower().replace("_", "-").split("==") for line in lines if "==" in line)


def release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.match(r"[\d.]+", version).group().split(".") if part)


@pytest.mark.parametrize("pin", read_lower_bounds())
def test_the_lowest_versions_are_the_bounds_of_pyproject(pin):
    name, version = pin.lower().split("==")
    assert release(read_pins("lowest.txt")[name])[: len(release(version))] == release(version)


@pytest.mark.parametrize("pin", read_lower_bounds())
def test_the_newest_versions_are_at_least_the_bounds(pin):
    name, version = pin.lower().split("==")
    assert release(read_pins("newest.txt")[name]) >= release(version)
