"""Who may ask, how much at once, and how a body is read: what stands before every request that costs something."""

import asyncio
import hmac

from starlette.requests import ClientDisconnect, Request

from .request_errors import RequestError, client_left
from .serving_settings import ServingLimits


class Slots:
    """
    A bounded number of places.

    Args:
        limit (`int`): how many there are.
    """

    def __init__(self, limit: int):
        self.limit, self.taken = limit, 0

    def take(self) -> bool:
        """Takes a place, if there is one."""
        if self.taken >= self.limit:
            return False
        self.taken += 1
        return True

    def give_back(self) -> None:
        self.taken -= 1


def check_key(request: Request, api_key: str | None) -> None:
    """
    Raises a `RequestError` unless the client knows the key.

    Args:
        request ([`~starlette.requests.Request`]): the request.
        api_key (`str`, *optional*): the key; without one everybody may ask.
    """
    if api_key is None:
        return
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    given = [bearer] if scheme.lower() == "bearer" else []
    given += request.headers.getlist("x-api-key")  # As LiteLLM sends it.
    # In constant time, so that the key cannot be guessed letter by letter.
    if not any(hmac.compare_digest(key.strip().encode(), api_key.encode()) for key in given):
        raise RequestError(401, "invalid_api_key", "Send the API key of this server: `Authorization: Bearer KEY`.")


def check_content_type(request: Request) -> None:
    """Raises a `RequestError` unless the body is declared as JSON, which a web page elsewhere cannot do unasked."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RequestError(415, "not_json", "Send JSON, with the header `Content-Type: application/json`.")


async def read_body(request: Request, limits: ServingLimits, is_kept: bool = True) -> bytes:
    """
    Reads a body to its end, also where it is not kept: a client that is still sending would not hear the answer.

    Args:
        request ([`~starlette.requests.Request`]): the request.
        limits ([`ServingLimits`]): how large it may be, and how long it may take.
        is_kept (`bool`, *optional*, defaults to `True`): whether it will be looked at.

    Raises:
        RequestError: if it is too large or takes too long, or if the client has left.
    """
    try:
        return await asyncio.wait_for(_read(request, limits, is_kept), limits.body_seconds)
    except asyncio.TimeoutError:
        message = f"The body of the request did not arrive within {limits.body_seconds:g} seconds."
        raise RequestError(408, "too_slow", message) from None
    except ClientDisconnect:
        raise client_left() from None


async def _read(request: Request, limits: ServingLimits, is_kept: bool) -> bytes:
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if is_kept and size <= limits.body_bytes:
            body += chunk
        else:
            body.clear()
    if size > limits.body_bytes:
        message = f"The body of a request may have at most {limits.body_bytes} bytes here, images included."
        raise RequestError(413, "body_too_large", message)
    return bytes(body)


async def wait_until_left(request: Request) -> None:
    """Returns when the client has closed the connection. The body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
