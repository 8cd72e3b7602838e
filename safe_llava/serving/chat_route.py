"""`POST /v1/chat/completions`: assessed first, then refused or answered, whole or as a stream."""

from collections.abc import AsyncIterator

from starlette.responses import JSONResponse, Response

from .chat_answer import ChatAnswer, outcome_of, outcome_when_cut
from .chat_reading import ChatReader
from .chat_shapes import LAST_EVENT, ChatShape, Choice, to_event
from .exchange import ClosingStream, Exchange
from .generation_request import Ended, Sampling
from .guard_pass import Assessment
from .guard_service import GuardService
from .moderation_shapes import chat_moderation, moderation_result
from .request_errors import RequestError
from .request_schemas import ChatRequest


ROUTE = "/v1/chat/completions"
_MAX_STOP_TEXTS, _MAX_STOP_CHARS = 4, 256


async def answer_chat(service: GuardService, exchange: Exchange) -> Response:
    """Answers one request."""
    service.require_worker()
    body = exchange.parse(ChatRequest)
    service.require_model(body.model)
    in_force = service.policies.stricter(body.safety_policy)
    asked = _require_one_limit(body, service.settings.limits.new_tokens)
    stop, n = _read_stop(body.stop), _read_number(body.n, service.settings.limits.choices)
    chat = await service.read(ChatReader(service.settings).read_messages, body.messages)
    content = body.model_dump(exclude_none=True)["messages"]
    [(prompt, assessment)] = await service.assess([chat], in_force, exchange.id, ROUTE, content, keeps_features=True)

    is_enforced = not service.settings.observe_only
    result = moderation_result(assessment, ["image", "text"] if chat.has_text else ["image"], is_enforced)
    moderation = chat_moderation(result, service.settings.name)
    shape = ChatShape(exchange.id, service.settings.name, moderation, len(prompt))
    includes_usage = bool(body.stream_options and body.stream_options.include_usage)
    if assessment.decision.action == "refuse" and is_enforced:
        refusal = " ".join(assessment.decision.texts)
        if body.stream:
            return ClosingStream(_stream_refusal(shape, refusal, n, includes_usage))
        return JSONResponse(shape.completion([Choice([refusal], "stop")] * n, refusal))

    room = service.guard.max_tokens - len(prompt) - _count_hint(service, assessment)
    max_tokens = _fit(asked, room, service.settings.limits.new_tokens)
    sampling = Sampling(max_tokens, body.temperature, body.top_p, n, stop, body.seed)
    answer = ChatAnswer(service, exchange.id, prompt, chat.messages, assessment, sampling)
    try:
        await answer.start(exchange.request)
        if body.stream:
            stream = _stream_answer(answer, shape, includes_usage, exchange)
            return ClosingStream(
                stream, lambda: answer.close(outcome_when_cut(service.is_draining), exchange.milliseconds)
            )
        await answer.finish(exchange.request)
        answer.close("whole", exchange.milliseconds)
    except BaseException as error:
        answer.close(outcome_of(error, answer.service.is_draining), exchange.milliseconds)
        raise
    return JSONResponse(shape.completion(answer.choices))


async def _stream_answer(
    answer: ChatAnswer, shape: ChatShape, includes_usage: bool, exchange: Exchange
) -> AsyncIterator[str]:
    yield shape.first_chunk(len(answer.choices))
    try:
        ends = []
        async for event in answer.pieces():
            if isinstance(event, Ended):
                ends.append(shape.chunk(event.index, {}, event.finish_reason))
            else:
                yield shape.chunk(event.index, {"content": event.text})
        # Written down before anything says that the answer is whole.
        answer.close("whole", exchange.milliseconds)
    except Exception as error:
        answer.close(outcome_of(error, answer.service.is_draining), exchange.milliseconds)
        yield to_event(exchange.to_error(error).to_body())
        return
    for end in ends:
        yield end
    if includes_usage:
        yield shape.usage_chunk(answer.choices)
    yield LAST_EVENT


async def _stream_refusal(shape: ChatShape, refusal: str, n: int, includes_usage: bool) -> AsyncIterator[str]:
    yield shape.first_chunk(n)
    for index in range(n):
        yield shape.chunk(index, {"content": refusal, "refusal": refusal})
        yield shape.chunk(index, {}, "stop")
    if includes_usage:
        yield shape.usage_chunk([])
    yield LAST_EVENT


def _require_one_limit(body: ChatRequest, limit: int) -> int | None:
    given = {tokens for tokens in (body.max_tokens, body.max_completion_tokens) if tokens is not None}
    if len(given) > 1:
        raise RequestError(
            400, "invalid_request", "`max_tokens` and `max_completion_tokens` differ. Send one.", "max_tokens"
        )
    asked = next(iter(given), None)
    if asked is not None and asked > limit:
        raise RequestError(400, "too_much", f"`max_tokens` may be at most {limit} here.", "max_tokens")
    return asked


def _fit(asked: int | None, room: int, limit: int) -> int:
    if room < (asked or 1):
        raise RequestError(
            400,
            "context_length_exceeded",
            f"The prompt leaves room for {max(room, 0)} tokens of an answer, and {asked or 1} are wanted.",
            "max_tokens",
        )
    return asked or min(limit, room)


def _count_hint(service: GuardService, assessment: Assessment) -> int:
    if assessment.decision.action != "hint":
        return 0
    return sum(map(service.guard.count_hint, assessment.decision.texts))


def _read_stop(stop: str | list[str] | None) -> list[str]:
    texts = [stop] if isinstance(stop, str) else stop or []
    if len(texts) > _MAX_STOP_TEXTS or any(not 0 < len(text) <= _MAX_STOP_CHARS for text in texts):
        message = f"`stop` is at most {_MAX_STOP_TEXTS} texts of 1 to {_MAX_STOP_CHARS} characters."
        raise RequestError(400, "invalid_request", message, "stop")
    return texts


def _read_number(n: int | None, limit: int) -> int:
    if n is not None and n > limit:
        raise RequestError(400, "too_much", f"`n` may be at most {limit} here.", "n")
    return n or 1
