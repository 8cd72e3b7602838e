"""
`POST /beta/litellm_basic_guardrail_api`: LiteLLM asks before it calls a model, and is told what the policy says.

Whatever the call holds that nobody here can look at blocks it, so that no image passes under another name.
"""

from collections.abc import Iterator
from typing import Any

from starlette.responses import JSONResponse, Response

from .chat_reading import ChatReader
from .exchange import Exchange
from .guard_service import GuardService
from .request_errors import RequestError
from .request_schemas import GuardrailRequest, ImagePart, ImageUrl, Part, TextPart


ROUTE = "/beta/litellm_basic_guardrail_api"
_TEXT_TYPES = ("text", "input_text", "output_text", "refusal")
_IMAGE_TYPES = ("image_url", "input_image")


async def guard_litellm(service: GuardService, exchange: Exchange) -> Response:
    """Answers one request."""
    body = exchange.parse(GuardrailRequest)
    in_force = service.policies.stricter(None)
    try:
        question, urls = _collect(body)
        parts: list[Part] = [ImagePart(type="image_url", image_url=ImageUrl(url=url)) for url in urls]
        if question:
            parts = [*parts, TextPart(type="text", text=question)]
        chats = [await service.read(ChatReader(service.settings).read_input, parts)] if parts else []
        content = body.model_dump(exclude_none=True)
        assessed = await service.assess(chats, in_force, exchange.id, ROUTE, content)
    except RequestError as error:
        if error.status >= 500:
            raise
        is_enforced = not service.settings.observe_only
        service.log.write("blocked", id=exchange.id, route=ROUTE, code=error.code, enforced=is_enforced)
        return _reply("BLOCKED", blocked_reason=error.message) if is_enforced else _reply("NONE")

    if service.settings.observe_only:
        return _reply("NONE")
    texts = body.texts or []
    decision = assessed[0][1].decision if assessed else None
    if decision is not None:
        if decision.action == "refuse":
            return _reply("BLOCKED", blocked_reason=" ".join(decision.texts))
        if decision.action == "hint":
            # Behind the question, where the language model was trained to read it.
            hint = " ".join(decision.texts)
            texts = [*texts[:-1], f"{texts[-1]} {hint}" if texts else hint]
    if body.input_type == "request":
        texts = [*map(service.guard.special_texts.break_tokens, texts)]
    if texts == (body.texts or []):
        return _reply("NONE")
    if not body.texts:
        return _reply("BLOCKED", blocked_reason="A hint must stand behind the question, and there is no text.")
    return _reply("GUARDRAIL_INTERVENED", texts=texts)


def _collect(body: GuardrailRequest) -> tuple[str, list[str]]:
    """The question, and the URLs of all images, wherever they stand."""
    urls, question = list(body.images or []), list(body.texts or [])
    for message in body.structured_messages or []:
        texts = []
        for kind, value in _parts(message):
            if kind in _IMAGE_TYPES:
                urls.append(value)
            else:
                texts.append(value)
        if message.get("role") == "user":
            question = texts
    return "\n".join(question), list(dict.fromkeys(urls))


def _parts(message: dict[str, Any]) -> Iterator[tuple[str, str]]:
    content = message.get("content")
    for part in [content] if isinstance(content, str) else content or []:
        if isinstance(part, str):
            yield "text", part
            continue
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in _TEXT_TYPES:
            value = part.get("text", part.get("refusal"))
        elif kind in _IMAGE_TYPES:
            value = part.get("image_url")
            value = value.get("url") if isinstance(value, dict) else value
        else:
            raise RequestError(400, "not_assessed", f"A part of type {kind!r:.40} cannot be assessed.")
        if not isinstance(value, str):
            raise RequestError(400, "not_assessed", f"A part of type {kind!r} holds nothing that can be read.")
        yield kind, value


def _reply(action: str, blocked_reason: str | None = None, texts: list[str] | None = None) -> Response:
    values = {"action": action, "blocked_reason": blocked_reason, "texts": texts}
    return JSONResponse({name: value for name, value in values.items() if value is not None})
