"""A page that a command serves, in a process of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence


SECONDS_TO_START = 120


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class PageServer:
    """`python` with these arguments, which serves a page at `port`."""

    def __init__(self, port: int, arguments: Sequence[object], **environment: str) -> None:
        self.port, self.url = port, f"http://127.0.0.1:{port}/"
        self.command = [sys.executable, *map(str, arguments)]
        self.environment = environment
        self.start()

    def start(self) -> None:
        # NiceGUI behaves otherwise where it sees this variable.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, env=inherited | self.environment)

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
