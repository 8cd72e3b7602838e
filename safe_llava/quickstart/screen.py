"""What quickstart shows: a bar for each step. What libraries say goes to a file."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn


def step_bars(console: Console) -> Progress:
    """Bars that stay on the screen, one below the other, with the time that each step took."""
    columns = (TextColumn("{task.description}"), BarColumn(24), TaskProgressColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False)


@contextmanager
def step_bar(progress: Progress, description: str) -> Iterator[Callable[[float], None]]:
    """A bar for the block, which is handed a function that says which share is done."""
    if not progress.console.is_terminal:
        # In a file a bar is written once, at the end of all.
        progress.console.print(description)
    task = progress.add_task(description, total=1.0)
    yield lambda share: progress.update(task, completed=share)
    progress.update(task, completed=1.0)


@contextmanager
def warnings_to(log: Path) -> Iterator[None]:
    """Standard error goes to the end of a file: libraries' warnings and bars, also from C++ and child processes."""
    with log.open("a", encoding="utf-8", buffering=1) as file:
        sys.stderr.flush()
        screen = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            with redirect_stderr(file):
                yield
        finally:
            os.dup2(screen, 2)
            os.close(screen)
