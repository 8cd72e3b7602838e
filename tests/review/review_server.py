"""The page of `safe-llava review rate`, served by the real command."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from safe_llava.review import Rating, ReviewSample, load_ratings, load_samples


SECONDS_TO_START = 120


class Server:
    """`safe-llava review rate` in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.samples = load_samples(folder / "samples.jsonl")
        self.file = folder / "ratings.jsonl"
        arguments = ["--rater", "anna", "--output", self.file, "--port", self.port, *options]
        self.command = [sys.executable, "-m", "safe_llava", "review", "rate", folder / "samples.jsonl", *arguments]
        self.start()

    def start(self) -> None:
        # NiceGUI behaves otherwise where it sees this variable.
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        command = [str(part) for part in self.command]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)

    def wait(self) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while self.process.poll() is None and time.monotonic() < deadline:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError(f"no page after {SECONDS_TO_START} s (exit code {self.process.poll()})")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def rating(self, sample: ReviewSample) -> Rating | None:
        ratings = load_ratings(self.file).ratings if self.file.exists() else []
        return next((rating for rating in ratings if rating.id == sample.id), None)
