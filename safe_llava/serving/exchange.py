"""One request and its answer: its name, its body, how long it takes, and what becomes of errors."""

import logging
import time
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from .guard_service import GuardService
from .request_errors import RequestError, describe_invalid, shutting_down
from .request_intake import Slots, check_content_type, check_key, read_body


logger = logging.getLogger(__name__)
BodyT = TypeVar("BodyT", bound=BaseModel)


class Exchange:
    """
    A request on its way.

    Args:
        request ([`~starlette.requests.Request`]): the request.
        prefix (`str`): how its name begins.
    """

    def __init__(self, request: Request, prefix: str):
        self.request, self.body = request, b""
        self.id = f"{prefix}-{uuid.uuid4().hex}"
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since the request came."""
        return time.perf_counter() - self._started

    @property
    def milliseconds(self) -> float:
        return round(1000 * self.seconds, 1)

    def parse(self, schema: type[BodyT]) -> BodyT:
        """The body. Raises a `RequestError` that says what is wrong with it."""
        try:
            return schema.model_validate_json(self.body)
        except ValidationError as error:
            raise describe_invalid(error, self.body) from None

    def to_error(self, error: Exception) -> RequestError:
        """An error as the client may see it. What nobody expected is logged, without its message, which may quote."""
        if isinstance(error, RequestError):
            return error
        places = "".join(traceback.format_tb(error.__traceback__))
        logger.error("%s failed with %s:\n%s", self.id, type(error).__name__, places)
        return RequestError(500, "failed", f"The server failed and has not answered. Its log says why ({self.id}).")


class ClosingStream(StreamingResponse):
    """
    Server-sent events, with an end that comes whatever happens.

    Args:
        events (`AsyncIterator[str]`): the events.
        on_close (`Callable`, *optional*): called at the end.
    """

    def __init__(self, events: AsyncIterator[str], on_close: Callable[[], None] = lambda: None):
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self._exits = ExitStack()
        self._exits.callback(on_close)

    def at_end(self, on_close: Callable[[], None]) -> None:
        """Adds what is to be done at the end, even where something else fails there."""
        self._exits.callback(on_close)

    async def __call__(self, *arguments: Any) -> None:
        with self._exits:
            await super().__call__(*arguments)


Handler = Callable[[GuardService, Exchange], Awaitable[Response]]


class Route:
    """
    A route that costs something: its requests show the key, take a place, and leave a line in the log.

    Args:
        service ([`GuardService`]): what answers.
        path (`str`): the route, for metrics and log.
        handle (`Callable`): answers one request.
        slots ([`Slots`]): its places.
        prefix (`str`): how the names of its requests begin.
    """

    def __init__(self, service: GuardService, path: str, handle: Handler, slots: Slots, prefix: str):
        self.service, self.path, self.handle, self.slots, self.prefix = service, path, handle, slots, prefix

    async def __call__(self, request: Request) -> Response:
        exchange = Exchange(request, self.prefix)
        has_slot = self.slots.take()

        def end(status: int) -> None:
            if has_slot:
                self.slots.give_back()
            self.service.metrics.requests.labels(self.path, str(status)).inc()
            self.service.metrics.request_seconds.labels(self.path).observe(exchange.seconds)

        try:
            response = await self._answer(exchange, has_slot)
        except Exception as error:
            response = self._reject(exchange, error)
        except BaseException:
            end(499)
            raise
        response.headers["X-Request-Id"] = exchange.id
        if isinstance(response, ClosingStream):
            response.at_end(lambda: end(response.status_code))
        else:
            end(response.status_code)
        return response

    async def _answer(self, exchange: Exchange, has_slot: bool) -> Response:
        settings = self.service.settings
        check_key(exchange.request, settings.api_key)
        exchange.body = await read_body(exchange.request, settings.limits, is_kept=has_slot)
        check_content_type(exchange.request)
        if self.service.is_draining:
            raise shutting_down()
        if not has_slot:
            message = f"{self.slots.limit} requests like this are at work or wait. Try again."
            raise RequestError(429, "busy", message, retry_after=1)
        return await self.handle(self.service, exchange)

    def _reject(self, exchange: Exchange, error: Exception) -> Response:
        shown = exchange.to_error(error)
        headers = {} if shown.retry_after is None else {"Retry-After": str(shown.retry_after)}
        try:
            self.service.log.write(
                "rejected",
                id=exchange.id,
                route=self.path,
                status=shown.status,
                code=shown.code,
                latency_ms=exchange.milliseconds,
            )
        except OSError as failure:
            shown = exchange.to_error(failure)
        return JSONResponse(shown.to_body(), shown.status, headers)
