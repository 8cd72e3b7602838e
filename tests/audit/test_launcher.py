"""Every shard is somebody's: what a launcher did not say whole is refused."""

import pytest

from safe_llava.audit.launcher import read_launcher


NAMES = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")


@pytest.fixture
def launched(monkeypatch):
    def launched(**variables: str) -> tuple[int, int, int]:
        for name in NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return read_launcher()

    return launched


def test_without_a_launcher_all_is_this_process(launched):
    assert launched() == (0, 1, 1)


def test_a_launcher_says_whose_share_it_is(launched):
    assert launched(RANK="2", WORLD_SIZE="3", LOCAL_WORLD_SIZE="3") == (2, 3, 3)


@pytest.mark.parametrize(
    "variables",
    [
        {"RANK": "1"},
        {"RANK": "0"},
        {"WORLD_SIZE": "2"},
        {"RANK": "5", "WORLD_SIZE": "2"},
        {"RANK": "2", "WORLD_SIZE": "2"},
        {"RANK": "-1", "WORLD_SIZE": "2"},
        {"RANK": "", "WORLD_SIZE": "2"},
        {"RANK": "0", "WORLD_SIZE": "0"},
        {"RANK": "0", "WORLD_SIZE": "-1"},
        {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "0"},
        {"LOCAL_WORLD_SIZE": "two"},
    ],
    ids=str,
)
def test_what_would_leave_shards_to_nobody_is_refused_with_what_was_found(launched, variables):
    with pytest.raises(ValueError, match="unset all three") as caught:
        launched(**variables)
    assert all(f"{name}={value!r}" in str(caught.value) for name, value in variables.items())
