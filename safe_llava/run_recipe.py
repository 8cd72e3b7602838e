"""Runs a training recipe from Python, whole or not at all, in one process or in several that share every batch."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .files import RECIPES


LAST_LINES = 15
_EPOCH = re.compile(r"'epoch': '?([\d.e+-]+)")


def run_recipe(
    config: Path,
    model: Path,
    output_dir: Path,
    seed: int,
    *,
    num_processes: int = 1,
    log: Path | None = None,
    on_epoch: Callable[[float], None] | None = None,
    **fields: Any,
) -> None:
    """
    Runs `recipes/train.py` in processes of its own.

    Args:
        config (`Path`): the recipe's YAML file.
        model (`Path`): the model to train.
        output_dir (`Path`): where the result goes. It appears only when training has finished.
        seed (`int`): seed of the training.
        num_processes (`int`, *optional*, defaults to 1): processes that train together.
        log (`Path`, *optional*): the file that gets, at its end, what training prints. Defaults to the screen.
        on_epoch (`Callable`, *optional*): told how many epochs are done whenever that stands in `log`.
        fields (`dict`, *optional*): fields of the recipe to overrule.

    Raises:
        ChildProcessError: if training fails. Its message has the last lines of `log`.
    """
    partial = output_dir.with_name(f"{output_dir.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    fields = {"model_name_or_path": model, "output_dir": partial, "seed": seed, **fields}
    command = [sys.executable, str(RECIPES / "train.py"), "--config", str(config)]
    command += [part for name, value in fields.items() for part in (f"--{name}", str(value))]
    written = log.stat().st_size if log is not None and log.exists() else 0
    with ExitStack() as stack:
        output = None if log is None else stack.enter_context(log.open("ab"))
        processes: list[subprocess.Popen] = []
        # Also when another of them has failed or the user has had enough.
        stack.callback(_end, processes)
        for variables in _environments(num_processes):
            # Threads that spin while they wait slow training down several times when another program needs a core.
            environment = {"OMP_WAIT_POLICY": "passive", **os.environ, **variables}
            processes.append(subprocess.Popen(command, env=environment, stdout=output, stderr=output))
        while all(process.poll() in (None, 0) for process in processes):
            if all(process.poll() == 0 for process in processes):
                break
            time.sleep(0.2)
            if log is not None and on_epoch is not None and (epochs := _EPOCH.findall(_read(log, written))):
                on_epoch(float(epochs[-1]))
        codes = [process.poll() for process in processes]
    if any(codes):
        said = "Its own message is above." if log is None else f"The end of {log}:\n{_tail(log, written)}"
        raise ChildProcessError(f"Training with {config} failed (exit codes {codes}). {said}")
    partial.rename(output_dir)


def num_cores() -> int:
    """The cores that this process may use, which in a container can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _environments(num_processes: int) -> list[dict[str, str]]:
    """Variables by which processes on one machine find each other and share its cores; none for a process alone."""
    if num_processes == 1:
        return [{}]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    group = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(num_processes),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, num_cores() // num_processes))),
    }
    return [{**group, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(num_processes)]


def _end(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()


def _read(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        return file.read().decode("utf-8", errors="replace")


def _tail(log: Path, start: int) -> str:
    return "\n".join(f"  {line}" for line in _read(log, start).splitlines()[-LAST_LINES:])
