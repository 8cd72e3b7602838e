"""Seconds to the first token and tokens per second after it, measured in turns: each way once, then all again."""

import time
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList
from ways import Ask


class Clock(StoppingCriteria):
    """Notes when each token is there, and never stops."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        self.times.append(now(input_ids.device.type))
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def now(device: str) -> float:
    """Seconds, when the device has done all it was told."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def time_answer(ask: Ask, batch_size: int, new_tokens: int, device: str) -> dict[str, float | None]:
    """
    One answer: `first_token_seconds`, `tokens_per_second` of the others, `answer_seconds`. A refusal has no others,
    and its first token comes with its last.
    """
    clock = Clock()
    start = now(device)
    ask(max_new_tokens=new_tokens, stopping_criteria=StoppingCriteriaList([clock]))
    end = now(device)
    times = clock.times
    speed = batch_size * (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else None
    first_token = times[0] if times else end
    return {
        "first_token_seconds": first_token - start,
        "tokens_per_second": speed,
        "answer_seconds": end - start,
    }


def time_in_turns(
    asks: dict[str, Ask], batch_size: int, new_tokens: int, rounds: int, device: str
) -> dict[str, dict[str, list[float | None]]]:
    """Each figure of each way, round by round, after one round that warms up."""
    for ask in asks.values():
        ask(max_new_tokens=2)
    measured: dict[str, dict[str, list[float | None]]] = {way: {} for way in asks}
    for _ in range(rounds):
        for way, ask in asks.items():
            for name, value in time_answer(ask, batch_size, new_tokens, device).items():
                measured[way].setdefault(name, []).append(value)
    return measured
