"""`POST /v1/moderations`: images, alone or with their question; many inputs in one call."""

from collections.abc import Sequence

from starlette.responses import JSONResponse, Response

from .chat_reading import ChatReader, ReadChat
from .exchange import Exchange
from .guard_service import GuardService
from .moderation_shapes import moderation_result
from .request_errors import RequestError
from .request_schemas import ModerationRequest, Part, TextPart


ROUTE = "/v1/moderations"


async def moderate(service: GuardService, exchange: Exchange) -> Response:
    """Answers one request: a result for each input, in order."""
    body = exchange.parse(ModerationRequest)
    if body.model is not None:
        service.require_model(body.model)
    in_force = service.policies.stricter(body.safety_policy)
    inputs = _list_inputs(body)
    limit = service.settings.limits.turns
    if not 0 < len(inputs) <= limit:
        raise RequestError(400, "too_much", f"A request holds 1 to {limit} inputs here.", "input")
    chats = await service.read(_read_all, ChatReader(service.settings), inputs)
    content = body.model_dump(exclude_none=True)["input"]
    assessed = await service.assess(chats, in_force, exchange.id, ROUTE, content)
    results = [
        moderation_result(
            assessment, ["image", "text"] if chat.has_text else ["image"], not service.settings.observe_only
        )
        for chat, (_, assessment) in zip(chats, assessed)
    ]
    return JSONResponse({"id": exchange.id, "model": service.settings.name, "results": results})


def _list_inputs(body: ModerationRequest) -> list[Sequence[Part]]:
    given = body.input
    if isinstance(given, str):
        given = [given]
    inputs: list[Sequence[Part]] = []
    parts: list[Part] = []
    for item in given:
        if isinstance(item, str):
            inputs.append([TextPart(type="text", text=item)])
        elif isinstance(item, list):
            inputs.append(item)
        else:
            parts.append(item)
    return [parts] if parts else inputs


def _read_all(reader: ChatReader, inputs: Sequence[Sequence[Part]]) -> list[ReadChat]:
    return [reader.read_input(parts) for parts in inputs]
