"""The routes. What is not listed here answers 404."""

import time
from functools import partial

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as StarletteRoute

from . import chat_route, litellm_guardrail, moderation_route
from .exchange import Route
from .guard_service import GuardService
from .request_errors import RequestError
from .request_intake import Slots, check_key


def build_app(service: GuardService) -> FastAPI:
    """
    The application.

    Args:
        service ([`GuardService`]): what answers; the caller closes it.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    settings, metrics, created = service.settings, service.metrics, int(time.time())
    chats, moderations = Slots(settings.limits.chats), Slots(settings.limits.moderations)
    for module, handle, slots, prefix in (
        (chat_route, chat_route.answer_chat, chats, "chatcmpl"),
        (moderation_route, moderation_route.moderate, moderations, "modr"),
        (litellm_guardrail, litellm_guardrail.guard_litellm, moderations, "guard"),
    ):
        app.add_route(module.ROUTE, Route(service, module.ROUTE, handle, slots, prefix).__call__, methods=["POST"])
    for name, of_kind in (("chats", chats), ("moderations", moderations)):
        metrics.in_flight.labels(name).set_function(partial(getattr, of_kind, "taken"))

    @app.get("/v1/models")
    async def list_models(request: Request) -> Response:
        check_key(request, settings.api_key)
        model = {"id": settings.name, "object": "model", "created": created, "owned_by": "safe_llava"}
        return JSONResponse({"object": "list", "data": [model]})

    @app.get("/health")
    async def health() -> Response:
        values = {
            "status": "shutting down" if service.is_draining else "ok",
            "trusted": service.guard.explain_distrust() is None,
            "policy_version": service.policies.current.version,
            "observe_only": settings.observe_only,
        }
        return JSONResponse(values, 503 if service.is_draining else 200)

    @app.get("/metrics")
    async def show_metrics(request: Request) -> Response:
        check_key(request, settings.api_key)
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)

    @app.exception_handler(RequestError)
    async def show_error(request: Request, error: RequestError) -> Response:
        return JSONResponse(error.to_body(), error.status)

    @app.exception_handler(HTTPException)
    async def show_http_error(request: Request, error: HTTPException) -> Response:
        allowed = (error.headers or {}).get("Allow")
        message = f"This route takes {allowed}." if allowed else f"There is no such route here. There are {paths}."
        shown = RequestError(error.status_code, "no_such_route", message)
        return JSONResponse(shown.to_body(), error.status_code, error.headers)

    paths = ", ".join(sorted(route.path for route in app.routes if isinstance(route, StarletteRoute)))
    return app
