"""Clients that leave, and waits for what a server does: at a moment that a test names, never after so many seconds."""

import http.client
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit


PATIENCE = 300
"""Seconds. No test is about them: they end one that would hang."""


def wait_for(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def post_and_leave(url: str, body: dict[str, Any], when: Callable[[], object]) -> None:
    """Sends a request, reads nothing, and hangs up as soon as `when()` is true."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.netloc)
    connection.request("POST", place.path, json.dumps(body), {"Content-Type": "application/json"})
    wait_for(when)
    connection.close()
