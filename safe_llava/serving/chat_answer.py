"""One chat on its way from the queue to its last token, as the event loop sees it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from starlette.requests import Request

from ..models.encoded_prompt import EncodedPrompt
from ..models.safety_policy import SafetyDecision
from .chat_shapes import Choice
from .generation_request import Done, Ended, Event, Generation, Piece, Sampling
from .guard_pass import Assessment
from .guard_service import GuardService
from .request_errors import RequestError, client_left
from .request_intake import wait_until_left


class ChatAnswer:
    """
    Waits for the worker's events, and stops it when the client leaves.

    Args:
        service ([`GuardService`]): has the worker and the log.
        id (`str`): the request's name.
        prompt ([`EncodedPrompt`]): the chat.
        messages (`list[dict]`): the same as it was read.
        assessment ([`Assessment`]): what was found in it.
        sampling ([`Sampling`]): how to decode.
    """

    def __init__(
        self,
        service: GuardService,
        id: str,
        prompt: EncodedPrompt,
        messages: list[dict[str, Any]],
        assessment: Assessment,
        sampling: Sampling,
    ):
        self.service, self.id, self.worker = service, id, service.require_worker()
        self.choices = [Choice() for _ in range(sampling.n)]
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        if service.settings.observe_only:
            assessment = replace(assessment, decision=SafetyDecision("answer"))
        self.generation = Generation(prompt, messages, assessment, sampling, self._emit)

    async def start(self, request: Request) -> None:
        """
        Returns when the worker has begun.

        Raises:
            RequestError: if the client leaves before, or the server shuts down.
        """
        self.worker.submit(self.generation)
        async with self._stopped_by(request):
            await self._next()

    async def finish(self, request: Request) -> None:
        """Returns when the answer is whole. Raises as `start`."""
        async with self._stopped_by(request):
            async for _ in self.pieces():
                pass

    async def pieces(self) -> AsyncIterator[Piece | Ended]:
        """Pieces and ends of choices, as they come."""
        while not isinstance(event := await self._next(), Done):
            if isinstance(event, Piece):
                self.choices[event.index].pieces.append(event.text)
                yield event
            elif isinstance(event, Ended):
                choice = self.choices[event.index]
                choice.finish_reason, choice.tokens = event.finish_reason, event.tokens
                yield event

    def close(self, outcome: str, latency_ms: float) -> None:
        """Stops what still runs, and writes the outcome down, once."""
        self.worker.cancel(self.generation)
        if self._is_closed:
            return
        self._is_closed = True
        values: dict[str, Any] = {"tokens": sum(choice.tokens for choice in self.choices)}
        if self.service.settings.log_content:
            values["answers"] = ["".join(choice.pieces) for choice in self.choices]
        self.service.log.write(
            "answered",
            id=self.id,
            outcome=outcome,
            generated=self.generation.has_begun,
            finish_reasons=[choice.finish_reason for choice in self.choices],
            latency_ms=latency_ms,
            **values,
        )

    async def _next(self) -> Event:
        event = await self._events.get()
        if isinstance(event, Done) and event.error is not None:
            raise event.error
        return event

    def _emit(self, event: Event) -> None:
        with contextlib.suppress(RuntimeError):  # The loop has ended, and with it whoever waited.
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    @contextlib.asynccontextmanager
    async def _stopped_by(self, request: Request) -> AsyncIterator[None]:
        async def stop() -> None:
            await wait_until_left(request)
            self.worker.cancel(self.generation)
            self._events.put_nowait(Done(client_left()))

        watch = asyncio.create_task(stop())
        try:
            yield
        finally:
            watch.cancel()


def outcome_of(error: BaseException, is_draining: bool) -> str:
    """What the log says of an answer that did not end; a server that goes breaks off what takes too long."""
    if isinstance(error, RequestError):
        return error.code
    return outcome_when_cut(is_draining) if isinstance(error, asyncio.CancelledError) else "failed"


def outcome_when_cut(is_draining: bool) -> str:
    """What the log says of an answer whose task or stream ended under it."""
    return "shutting_down" if is_draining else "client_left"
