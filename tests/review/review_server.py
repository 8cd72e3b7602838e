"""The page of `safe-llava review rate`, served by the command in a process of its own."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import safe_llava.review.review_page  # noqa: F401 (loaded once, for all servers)
from safe_llava.cli import app
from safe_llava.review import Rating, ReviewSample, load_ratings, load_samples
from tests.page_server import SECONDS_TO_START, find_free_port


class Server:
    """`safe-llava review rate`, forked: what it imports is loaded here already, and takes seconds to load again."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.samples = load_samples(folder / "samples.jsonl")
        self.file = folder / "ratings.jsonl"
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        options = ("--rater", "anna", "--output", str(self.file), "--port", str(self.port), *options)
        self.arguments = ["review", "rate", str(folder / "samples.jsonl"), *options]
        self.start()

    def start(self) -> None:
        self.process = os.fork()
        if self.process == 0:
            _run(self.arguments)

    def wait(self) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline:
            assert os.waitpid(self.process, os.WNOHANG) == (0, 0), "the command has ended"
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError(f"no page after {SECONDS_TO_START} s")

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)

    def rating(self, sample: ReviewSample) -> Rating | None:
        ratings = load_ratings(self.file).ratings if self.file.exists() else []
        return next((rating for rating in ratings if rating.id == sample.id), None)


def _run(arguments: Sequence[str]) -> None:
    """Ends this process, whatever happens: a fork must not go on with the tests."""
    try:
        # NiceGUI behaves otherwise where it sees this variable.
        os.environ.pop("PYTEST_CURRENT_TEST", None)
        app(arguments)
    finally:
        os._exit(1)
