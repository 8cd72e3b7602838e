"""`recipes.benchmark.cost` measures side by side with stock, writes what it found, and says what it left out."""

import json

import pytest
import torch

from recipes.benchmark import cost
from recipes.benchmark.answer_timing import answer_side_by_side, figures
from recipes.benchmark.cost_ratios import BOUNDS, compare, over_stock


@pytest.fixture
def measured():
    """Two rounds, the second on a machine that something slows down."""
    times = {"off": 1.1, "answering": 1.2, "hinting": 1.4, "refusing": 0.2}
    times |= {"two_pass": 4.0, "two_pass_short": 2.0, "guard_then_answer": 1.6}

    def side(time: float, speed: float | None) -> dict[str, list[float | None]]:
        slower = None if speed is None else speed / 3
        seconds = {"first_token_seconds": [time, 3 * time], "answer_seconds": [2 * time, 6 * time]}
        return seconds | {"tokens_per_second": [speed, slower]}

    return {
        way: {"way": side(time, None if way == "refusing" else 9.0), "stock": side(1.0, 10.0)}
        for way, time in times.items()
    }


def test_a_ratio_is_taken_within_a_round(measured):
    found = over_stock(measured)["answering"]["first_token_seconds"]
    assert found == pytest.approx({"median": 1.2, "low": 1.2, "high": 1.2})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("first token: hinting / stock", 1.4),
        ("first token: hinting / two passes", 1.4 / 4),
        ("answer: stock / two passes", 1 / 4),
    ],
)
def test_two_ways_are_compared_by_what_each_is_to_stock(measured, name, expected):
    assert compare(measured)[name]["median"] == pytest.approx(expected)


def test_a_refusal_has_no_tokens_per_second(measured):
    assert "tokens_per_second" not in over_stock(measured)["refusing"]


def test_every_promise_is_about_a_ratio_that_is_measured(measured):
    assert set(BOUNDS) <= set(compare(measured))


def answering(log: list[str], name: str, new_tokens: int):
    """Stands for `generate`: notes each token it makes."""

    def ask(max_new_tokens: int, stopping_criteria) -> None:
        for _ in range(new_tokens):
            log.append(name)
            stopping_criteria(torch.zeros(1, 1), torch.zeros(1, 1))

    return ask


def test_two_ways_answer_token_by_token_in_turns():
    log: list[str] = []
    turns = answer_side_by_side([answering(log, "a", 3), answering(log, "b", 3)], 3, "cpu")
    assert log == ["a", "b"] * 3
    assert [len(seconds) for seconds in turns] == [4, 4]


def test_the_longer_answer_goes_on_when_the_other_has_ended():
    log: list[str] = []
    answer_side_by_side([answering(log, "a", 1), answering(log, "b", 3)], 3, "cpu")
    assert log == ["a", "b", "b", "b"]


def test_a_way_that_fails_leaves_nobody_waiting():
    def fail(**kwargs) -> None:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        answer_side_by_side([fail, answering([], "b", 3)], 3, "cpu")


def test_seconds_of_turns_become_first_token_speed_and_answer():
    assert figures([2.0, 0.5, 0.5, 0.1], batch_size=4) == pytest.approx(
        {"first_token_seconds": 2.0, "tokens_per_second": 8.0, "answer_seconds": 3.1}
    )


def test_a_refusal_comes_in_one_turn():
    assert figures([0.3], batch_size=4) == {
        "first_token_seconds": 0.3,
        "tokens_per_second": None,
        "answer_seconds": 0.3,
    }


def test_the_command_writes_its_results_and_where_they_come_from(tmp_path, capsys):
    cost.main(tmp_path, "miniature", batch_size=[2], rounds=2, new_tokens=3, memory=False)
    said = capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    assert {"machine", "versions", "threads", "seed", "dtype"} <= results.keys()
    timed = results["timings"]["2"]
    assert set(timed["over_stock"]) == set(results["flops"]) - {"stock", "least_answering", "least_hinting"}
    assert len(timed["measured"]["hinting"]["stock"]["first_token_seconds"]) == 2
    assert "policy off" in said and "tokens/s" in said
