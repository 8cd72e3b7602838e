"""
Each way side by side with stock: seconds to the first token, and of each token after it.

A machine is now fast, now slow, by more than what is to be told apart. So both answer at once, in a thread each, but
never run at the same time: they hand over at every token.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from .answering_ways import Ask


class TakeTurns(StoppingCriteria):
    """
    One side. Stops the clock at each token, lets the other side make one, and goes on.

    Attributes:
        seconds (`list[float]`): of each turn: to the first token, of each other, and from the last one to the end.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.seconds: list[float] = []
        self.is_done = False
        self.may_run = threading.Semaphore(0)
        self.other: TakeTurns

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        self.stop_clock()
        self.other.may_run.release()
        self.take_over()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)

    def take_over(self) -> None:
        if not self.other.is_done:
            self.may_run.acquire()
        self.started = time.perf_counter()

    def stop_clock(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self.started)

    def run(self, ask: Ask, new_tokens: int) -> None:
        self.take_over()
        try:
            ask(max_new_tokens=new_tokens, stopping_criteria=StoppingCriteriaList([self]))
        finally:
            # Not done before the clock stands still, or the other side would run beside it.
            self.stop_clock()
            self.is_done = True
            self.other.may_run.release()


def answer_side_by_side(asks: list[Ask], new_tokens: int, device: str) -> list[list[float]]:
    """Two ways answer, token by token in turns: the seconds of each turn of each."""
    sides = [TakeTurns(device), TakeTurns(device)]
    sides[0].other, sides[1].other = sides[1], sides[0]
    with ThreadPoolExecutor(max_workers=2) as pool:
        running = [pool.submit(side.run, ask, new_tokens) for side, ask in zip(sides, asks)]
        sides[0].may_run.release()
    for side in running:
        side.result()
    return [side.seconds for side in sides]


def figures(seconds: list[float], batch_size: int) -> dict[str, float | None]:
    """
    `first_token_seconds`, `tokens_per_second` of the others and `answer_seconds`. A refusal has no others, and its
    first token comes with its last.
    """
    others = seconds[1:-1]
    return {
        "first_token_seconds": seconds[0],
        "tokens_per_second": batch_size * len(others) / sum(others) if others else None,
        "answer_seconds": sum(seconds),
    }


def time_beside_stock(
    asks: dict[str, Ask], batch_size: int, new_tokens: int, rounds: int, device: str
) -> dict[str, dict[str, dict[str, list[float | None]]]]:
    """
    Each way but stock, after one answer that warms up: `[way]["way"][figure]` of each round, and `[way]["stock"]` of
    stock beside it. Who begins changes from round to round.
    """
    for ask in asks.values():
        ask(max_new_tokens=2)
    measured: dict[str, Any] = {way: {"way": {}, "stock": {}} for way in asks if way != "stock"}
    for index in range(rounds):
        for way, sides in measured.items():
            pair = {"way": asks[way], "stock": asks["stock"]}
            order = list(pair) if index % 2 else list(reversed(pair))
            turns = answer_side_by_side([pair[side] for side in order], new_tokens, device)
            for side, seconds in zip(order, turns):
                for name, value in figures(seconds, batch_size).items():
                    sides[side].setdefault(name, []).append(value)
    return measured
