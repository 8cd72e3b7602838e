"""`safe-llava serve`: loads a model, listens, and goes when it is told to, without half an answer."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn

from ..guards.assessing_guard import AssessingGuard
from ..guards.open_guard import open_guard
from ..models.onnx_folder import is_exported
from .audit_log import AuditLog
from .generation_request import AnsweringWorker
from .guard_service import GuardService
from .policy_holder import PolicyHolder
from .server_app import build_app
from .serving_metrics import ServingMetrics
from .serving_settings import ServingSettings
from .upstream_worker import UpstreamWorker


logger = logging.getLogger(__name__)
_MAX_CONNECTIONS = 1024
_KEEP_ALIVE_SECONDS = 75
"""Longer than balancers keep an idle connection: who closes it first loses the other's next request."""


def run_server(
    model: str,
    settings: ServingSettings,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    policy: Path | None = None,
    audit_log: Path = Path("audit-log.jsonl"),
    audit_log_bytes: int = 100 * 2**20,
    audit_log_files: int = 100,
    shutdown_seconds: int = 60,
    device: str | None = None,
    dtype: str = "auto",
    say: Callable[[str], None] = print,
) -> None:
    """
    Serves a model until SIGTERM or SIGINT.

    Args:
        model (`str`): a SafeLLaVA checkpoint, a folder or a Hub id; or the folder of an exported guard, which
            assesses, and answers only with an upstream.
        settings ([`ServingSettings`]): what holds for every request.
        host (`str`, *optional*, defaults to `"127.0.0.1"`): address to listen on.
        port (`int`, *optional*, defaults to 8000): port; 0 takes a free one.
        policy (`Path`, *optional*): JSON with changes to the stored policy, read again at SIGHUP.
        audit_log (`Path`, *optional*): file of the audit log.
        audit_log_bytes (`int`, *optional*): size at which a new file begins.
        audit_log_files (`int`, *optional*, defaults to 100): older files that are kept.
        shutdown_seconds (`int`, *optional*, defaults to 60): how long running answers may take when told to go.
        device (`str`, *optional*): defaults to the accelerator of this process, or the CPU.
        dtype (`str`, *optional*, defaults to `"auto"`): the weights' type; "auto" keeps the checkpoint's.
        say (`Callable`, *optional*): takes what the operator should read.

    Raises:
        ValueError: if the checkpoint cannot be served or the policy is wrong.
        OSError: if the address or the log cannot be used.
    """
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    guard, answers = _load(model, settings, device, dtype)
    policies = PolicyHolder(guard, policy)
    service = GuardService(guard, policies, AuditLog(audit_log, audit_log_bytes, audit_log_files), settings, answers)
    try:
        app = build_app(service)
        app.router.lifespan_context = lambda app: _reloading(service)
        config = uvicorn.Config(
            app,
            host,
            port,
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=shutdown_seconds,
        )
        with _listen(host, port, config.backlog) as listening:
            if (reason := guard.explain_distrust()) is not None:
                say(f"No verdict of this model can be trusted, so every image counts as high risk: {reason}.")
            if answers is None:
                say("The guard alone: it assesses, and chats are not answered; for these give an --upstream.")
            if settings.observe_only:
                say("Observing only: what the policy would do is reported and logged, and nothing is done.")
            if host not in ("127.0.0.1", "::1", "localhost") and settings.api_key is None:
                say(f"Anyone who reaches {host} may ask: there is no --api-key.")
            say(f"Serving {settings.name} on http://{host}:{listening.getsockname()[1]} (log: {audit_log}).")
            for ending in (signal.SIGTERM, signal.SIGINT):
                # uvicorn raises them once more when it has shut down, for whoever was there before.
                signal.signal(ending, lambda *arguments: None)
            _Server(config, service).run(sockets=[listening])
    finally:
        service.close()


def _load(
    model: str, settings: ServingSettings, device: str | None, dtype: str
) -> tuple[AssessingGuard, Callable[[ServingMetrics], AnsweringWorker] | None]:
    """What assesses, and what answers if something does. No more of the model is loaded than this process needs."""
    upstream = settings.upstream
    sends_rows = upstream is not None and upstream.images == "embeds"
    if is_exported(model):
        if sends_rows:
            raise ValueError(
                f"{model} has no weights to make rows of images with: leave out --upstream-images embeds, or serve "
                "the checkpoint of the whole model."
            )
    elif upstream is None:
        return _load_generator(model, device, dtype)
    guard = _load_guard_with_rows(model, device, dtype) if sends_rows else open_guard(model, device, dtype)
    if upstream is None:
        return guard, None
    return guard, lambda metrics: UpstreamWorker(upstream, guard.special_texts, metrics)


def _load_generator(
    model: str, device: str | None, dtype: str
) -> tuple[AssessingGuard, Callable[[ServingMetrics], AnsweringWorker]]:
    from ..checkpoints import load_safe_llava
    from ..guards.torch_guard import TorchGuard
    from .generation_worker import GenerationWorker

    loaded, processor = load_safe_llava(model, device, dtype)
    return TorchGuard(loaded, processor), lambda metrics: GenerationWorker(loaded, processor, metrics)


def _load_guard_with_rows(model: str, device: str | None, dtype: str) -> AssessingGuard:
    from ..guards.torch_guard import TorchGuard
    from .guard_with_rows import load_guard_with_rows

    return TorchGuard(*load_guard_with_rows(model, device, dtype))


def _listen(host: str, port: int, backlog: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=backlog)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise OSError(f"{host} port {port} cannot be used ({reason}); choose another --port or --host.") from None


@asynccontextmanager
async def _reloading(service: GuardService) -> AsyncIterator[None]:
    """SIGHUP reads the policy again, beside the event loop."""
    loop = asyncio.get_running_loop()
    tasks: set[Any] = set()

    def reload() -> None:
        task = loop.create_task(service.read(service.policies.reload))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: GuardService):
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # It waits for all that is at work; what has not begun is not kept waiting.
        self._service.drain()
        await super().shutdown(sockets)
