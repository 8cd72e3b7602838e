"""What a client did wrong, or what the server cannot do now, in the form of OpenAI's errors."""

from typing import Any

from pydantic import ValidationError


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


def describe_invalid(error: ValidationError) -> RequestError:
    """The first thing that is wrong with a body, without what stood there."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    param = ".".join(str(part) for part in first["loc"]) or None
    message = first["msg"] if param is None else f"`{param}`: {first['msg']}"
    if first["type"] == "extra_forbidden":
        message = f"`{param}` has no effect here, or is no field. Leave it out."
    return RequestError(400, "invalid_request", f"{message:.400}", param)


def shutting_down() -> RequestError:
    return RequestError(503, "shutting_down", "This server is shutting down. Ask another, or later.", retry_after=5)


def client_left() -> RequestError:
    # Nobody reads it; the number is nginx's.
    return RequestError(499, "client_left", "The client closed the connection.")
