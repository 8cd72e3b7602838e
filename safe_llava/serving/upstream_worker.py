"""Answers by another engine that speaks OpenAI's form: it is sent what the policy lets through, and nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2

from ..models.chat_text import ChatText
from .answer_text import AnswerText
from .generation_request import Done, Ended, Generation, Piece, Sampling, Started
from .request_errors import RequestError, shutting_down
from .serving_metrics import ServingMetrics
from .serving_settings import Upstream
from .upstream_messages import to_upstream


_SECONDS = 600.0
"""How long an engine may keep silent: a long queue of its own."""


class UpstreamWorker:
    """
    Sends chats on as they come; in place of [`GenerationWorker`], on the event loop.

    Args:
        upstream ([`Upstream`]): the engine.
        special ([`ChatText`]): breaks up special tokens.
        metrics ([`ServingMetrics`]): counts generations.
    """

    def __init__(self, upstream: Upstream, special: ChatText, metrics: ServingMetrics):
        self.upstream, self.special, self.metrics = upstream, special, metrics
        self.is_draining = False
        self._running: dict[Generation, asyncio.Task] = {}

    def submit(self, generation: Generation) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(generation))
        self._running[generation] = task
        task.add_done_callback(lambda task: self._running.pop(generation, None))

    def cancel(self, generation: Generation) -> None:
        """Closes the connection to the engine, by which it knows that nobody waits."""
        generation.cancel()
        if (task := self._running.get(generation)) is not None:
            task.cancel()

    def drain(self) -> None:
        """Nothing new is begun; what runs goes on."""
        self.is_draining = True

    def close(self) -> None:
        self.is_draining = True

    async def _answer(self, generation: Generation) -> None:
        if self.is_draining:
            generation.emit(Done(shutting_down()))
            return
        try:
            await self._send(generation)
            generation.emit(Done())
        except httpx2.HTTPError as error:
            generation.emit(Done(_failed(type(error).__name__)))
        except Exception as error:
            generation.emit(Done(error))

    async def _send(self, generation: Generation) -> None:
        decision = generation.assessment.decision
        hints = decision.texts if decision.action == "hint" else ()
        rows: Any = None
        if self.upstream.images == "embeds":
            features = generation.assessment.features
            rows = () if features is None else features.pooler_output
        messages = await asyncio.to_thread(to_upstream, generation.messages, hints, self.special, rows)
        body = {"model": self.upstream.model, "messages": messages, **_to_fields(generation.sampling)}
        url, key = f"{self.upstream.url.rstrip('/')}/chat/completions", self.upstream.api_key
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with (
            httpx2.AsyncClient(timeout=_SECONDS, trust_env=False) as http,
            http.stream("POST", url, json=body, headers=headers) as reply,
        ):
            if reply.status_code != 200:
                await reply.aread()
                raise _refused(reply)
            if not generation.begin():
                return
            self.metrics.generations.inc()
            generation.emit(Started())
            texts = [_to_text(generation, index) for index in range(generation.sampling.n)]
            reasons: dict[int, str] = {}
            tokens = 0
            async for event in _events(reply):
                for choice in event.get("choices") or []:
                    delta, text = choice.get("delta") or {}, texts[choice["index"]]
                    text.add(delta.get("content") or delta.get("refusal") or "")
                    if choice.get("finish_reason"):
                        text.end()
                        reasons[choice["index"]] = "stop" if text.is_stopped else choice["finish_reason"]
                tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
            if len(reasons) < generation.sampling.n:
                raise _failed("its answer broke off")
        self.metrics.tokens.inc(tokens)
        for index, reason in reasons.items():
            # Engines count the tokens of all choices together.
            generation.emit(Ended(index, reason, 0 if index else tokens))


def _to_text(generation: Generation, index: int) -> AnswerText:
    """Engines keep the blanks around an answer, and some the space of its first token; this process does not."""
    return AnswerText(generation.sampling.stop, lambda piece: generation.emit(Piece(index, piece)))


def _to_fields(sampling: Sampling) -> dict[str, Any]:
    greedy = sampling.temperature is None and sampling.top_p is None
    fields = {
        "max_tokens": sampling.max_tokens,
        "temperature": 0.0 if greedy else sampling.temperature,
        "top_p": sampling.top_p,
        "n": sampling.n,
        "stop": list(sampling.stop) or None,
        "seed": sampling.seed,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    return {**given, "stream": True, "stream_options": {"include_usage": True}}


async def _events(reply: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in reply.aiter_lines():
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        try:
            event = json.loads(data)
        except ValueError:
            raise _failed("it sent what is no JSON") from None
        if not isinstance(event, dict) or event.get("error"):
            raise _failed("it failed in the middle of its answer")
        yield event


def _refused(reply: httpx2.Response) -> RequestError:
    if reply.status_code == 429:
        return RequestError(429, "busy", "The engine behind this server is busy. Try again.", retry_after=1)
    if reply.status_code in (400, 413, 422):
        try:
            message = str(reply.json()["error"]["message"])
        except (ValueError, KeyError, TypeError):
            message = "no reason given"
        return RequestError(400, "upstream_refused", f"The engine behind this server refuses this: {message:.300}")
    return _failed(f"it answered with status {reply.status_code}")


def _failed(reason: str) -> RequestError:
    message = f"The engine behind this server has not answered: {reason}."
    return RequestError(502, "upstream_failed", message, retry_after=1)
