"""An engine that speaks OpenAI's form, says what a test tells it to, and remembers what it was asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route


_COMPLETION = {
    "id": "1",
    "object": "chat.completion",
    "created": 0,
    "model": "theirs",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "A red circle."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 8, "completion_tokens": 4, "total_tokens": 12},
}


class FakeEngine:
    """
    Answers "A red circle." to everything, unless it is told to fail; with blanks around it, as engines do that decode
    token by token.

    Args:
        failure (`str`, *optional*):
            "busy", "broken" (status 500), "refuses" (status 400), "breaks off", "fails late" or "hangs".
        pieces (`Sequence[str]`, *optional*): what it says instead. Choices come in turns.
    """

    def __init__(self, failure: str | None = None, pieces: Sequence[str] = (" ", " A red", " circle.", "\n")):
        self.failure, self.pieces = failure, pieces
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.hanging = self.left = 0
        self.app = Starlette(routes=[Route("/v1/chat/completions", self._answer, methods=["POST"])])

    async def _answer(self, request: Request) -> Response:
        self.asked.append(await request.json())
        self.keys.append(request.headers.get("authorization"))
        status = {"busy": 429, "broken": 500, "refuses": 400}.get(self.failure or "")
        if status is not None:
            return JSONResponse({"error": {"message": "I will not."}}, status)
        if not self.asked[-1].get("stream"):
            return JSONResponse(_COMPLETION)
        return StreamingResponse(self._stream(self.asked[-1]["n"]), media_type="text/event-stream")

    async def _stream(self, n: int) -> AsyncIterator[str]:
        for text in self.pieces:
            for index in range(n):
                yield self._event([{"index": index, "delta": {"content": text}, "finish_reason": None}])
            if self.failure == "hangs":
                self.hanging += 1
                try:
                    await asyncio.sleep(3600)
                finally:
                    self.left += 1
        if self.failure == "breaks off":
            return
        if self.failure == "fails late":
            yield 'data: {"error": {"message": "out of memory"}}\n\n'
            return
        for index in range(n):
            yield self._event([{"index": index, "delta": {}, "finish_reason": "stop"}])
        yield self._event([], usage={"completion_tokens": 4 * n})
        yield "data: [DONE]\n\n"

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> str:
        return f"data: {json.dumps({'choices': choices, **more})}\n\n"
