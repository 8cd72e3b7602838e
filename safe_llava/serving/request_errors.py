"""What a client did wrong, or what the server cannot do now, in the form of OpenAI's errors."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json


NO_EFFECT = "no_effect"
"""pydantic's type of error where a field that is not done here asks for something."""
_TYPES = {401: "authentication_error", 429: "rate_limit_error"}


class RequestError(Exception):
    """
    Why a request is not answered.

    Args:
        status (`int`): the HTTP status.
        code (`str`): the same in a word, for programs.
        message (`str`): what was expected, and how to mend it.
        param (`str`, *optional*): the field that is wrong.
        retry_after (`int`, *optional*): seconds after which trying again makes sense.
    """

    def __init__(self, status: int, code: str, message: str, param: str | None = None, retry_after: int | None = None):
        super().__init__(message)
        self.status, self.code, self.message, self.param, self.retry_after = status, code, message, param, retry_after

    def to_body(self) -> dict[str, Any]:
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def describe_invalid(error: ValidationError, encoded: bytes) -> RequestError:
    """
    What is wrong with a body, without what stood there.

    Args:
        error ([`~pydantic.ValidationError`]): what a schema says.
        encoded (`bytes`): the body.
    """
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    body = None if faults[0]["type"] == "json_invalid" else from_json(encoded)
    found = [
        (_read_path(fault["loc"], body, fault["type"] == "missing"), fault["type"], fault["msg"]) for fault in faults
    ]
    # Where a field has several forms each of them says what it misses: meant is the one that understood most.
    deepest = max(found, key=lambda fault: len(fault[0]))[0]
    here = [(kind, message) for path, kind, message in found if path == deepest]
    meant = [fault for fault in here if not fault[0].endswith("_type")] or here
    param = ".".join(map(str, deepest)) or None
    message = ", or: ".join(dict.fromkeys(message for _, message in meant))
    if meant[0][0] in ("extra_forbidden", NO_EFFECT):
        message = f"`{param}` has no effect here, or is no field. Leave it out."
    elif param is not None:
        message = f"`{param}`: {message}"
    return RequestError(400, "invalid_request", f"{message:.400}", param)


def _read_path(places: Sequence[int | str], body: Any, is_missing: bool) -> tuple[int | str, ...]:
    """Where in a body a schema stands, which also names the forms that it has tried on its way, such as "text"."""
    if not places:
        return ()
    place, rest = places[0], places[1:]
    if is_missing and not rest:
        return (place,)
    as_form = _read_path(rest, body, is_missing)
    has_field = place in body if isinstance(body, dict) else isinstance(body, list) and place in range(len(body))
    if not has_field:
        return as_form
    as_field = (place, *_read_path(rest, body[place], is_missing))
    return as_field if len(as_field) > len(as_form) else as_form


def shutting_down() -> RequestError:
    return RequestError(503, "shutting_down", "This server is shutting down. Ask another, or later.", retry_after=5)


def client_left() -> RequestError:
    # Nobody reads it; the number is nginx's.
    return RequestError(499, "client_left", "The client closed the connection.")
