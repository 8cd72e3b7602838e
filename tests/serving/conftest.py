"""Servers in this process, with a model that takes every image for high risk, so that the policy decides."""

import copy
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from openai import OpenAI
from serving.request_bodies import acting, chat_body, to_data_url
from starlette.testclient import TestClient

from safe_llava.guards.torch_guard import TorchGuard
from safe_llava.serving.audit_log import AuditLog
from safe_llava.serving.generation_request import AnsweringWorker
from safe_llava.serving.generation_worker import GenerationWorker
from safe_llava.serving.guard_service import GuardService
from safe_llava.serving.policy_holder import PolicyHolder
from safe_llava.serving.server_app import build_app
from safe_llava.serving.serving_metrics import ServingMetrics
from safe_llava.serving.serving_settings import ServingLimits, ServingSettings
from safe_llava.serving.upstream_worker import UpstreamWorker


class Server:
    """A server in this process, and what it wrote down."""

    def __init__(self, service: GuardService, client: TestClient):
        self.service, self.client = service, client
        self.openai = OpenAI(base_url="http://testserver/v1", api_key="none", http_client=client, max_retries=0)

    def post(self, route: str, body: Any, **options: Any) -> Any:
        return self.client.post(route, json=body, **options)

    def chat(self, *parts: dict[str, Any], **fields: Any) -> Any:
        return self.post("/v1/chat/completions", chat_body(*parts, **fields))

    def moderate(self, input: Any, **fields: Any) -> Any:
        return self.post("/v1/moderations", {"input": input, **fields})

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.service.log.path.read_text().splitlines()]
        return [line for line in lines if event in (None, line["event"])]


@pytest.fixture
def serve(alarmed_safe_llava, tiny_processor, tmp_path) -> Iterator[Callable[..., Server]]:
    """`serve(policy changes, **settings and limits)` starts a server."""
    started: list[Server] = []

    def start(changes: dict[str, Any] | Path | None = None, model: Any = None, **values: Any) -> Server:
        path = changes if isinstance(changes, Path) else tmp_path / f"policy-{len(started)}.json"
        if not isinstance(changes, Path):
            path.write_text(json.dumps(changes or {}))
        limits = {name: values.pop(name) for name in list(values) if hasattr(ServingLimits, name)}
        settings = ServingSettings(name="tiny", limits=ServingLimits(**limits), **values)
        # The weights are shared; what a server or a test changes is not.
        model = copy.copy(model or alarmed_safe_llava)
        model.config = copy.deepcopy(model.config)
        if model.can_generate():
            model.generation_config = copy.deepcopy(model.generation_config)
        log = AuditLog(tmp_path / f"audit-{len(started)}.jsonl", 2**20, 5)
        guard, upstream = TorchGuard(model, tiny_processor), settings.upstream

        def answers(metrics: ServingMetrics) -> AnsweringWorker:
            if upstream is None:
                return GenerationWorker(model, tiny_processor, metrics)
            return UpstreamWorker(upstream, guard.special_texts, metrics)

        service = GuardService(guard, PolicyHolder(guard, path), log, settings, answers)
        client = TestClient(build_app(service))
        client.__enter__()
        started.append(Server(service, client))
        return started[-1]

    yield start
    for server in started:
        server.client.__exit__(None, None, None)
        server.service.close()


@pytest.fixture(scope="session")
def image_url(make_image) -> str:
    return to_data_url(make_image(0))


@pytest.fixture(scope="session")
def other_url(make_image) -> str:
    return to_data_url(make_image(1))


@pytest.fixture
def count_passes(request: pytest.FixtureRequest) -> Callable[[Server], list[int]]:
    """`count_passes(server)`: from now on, how many images the vision tower sees in each pass."""

    def count(server: Server) -> list[int]:
        seen: list[int] = []
        server.service.guard.model.explain_distrust()  # Looks at patterns of its own, once.
        tower = server.service.guard.model.model.vision_tower
        handle = tower.register_forward_hook(lambda module, args, output: seen.append(len(output.last_hidden_state)))
        request.addfinalizer(handle.remove)
        return seen

    return count


@pytest.fixture
def before_each_token(request: pytest.FixtureRequest) -> Callable[[Server, Callable[[], object]], None]:
    """`before_each_token(server, call)`: from now on, the thread that answers calls it."""

    def before(server: Server, call: Callable[[], object]) -> None:
        handle = server.service.guard.model.lm_head.register_forward_pre_hook(lambda module, args: call() and None)
        request.addfinalizer(handle.remove)

    return before


@pytest.fixture
def listen() -> Iterator[Callable[[Any], str]]:
    """`listen(app)` serves an application on loopback, and gives its URL."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def listen(app: Any) -> str:
        config = uvicorn.Config(app, port=0, log_level="error", lifespan="off")
        listening = config.bind_socket()
        listening.listen()
        web = uvicorn.Server(config)
        thread = threading.Thread(target=web.run, args=([listening],), daemon=True)
        thread.start()
        running.append((web, thread))
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield listen
    for web, thread in running:
        web.should_exit = web.force_exit = True
        thread.join()


@pytest.fixture
def connect(serve, listen) -> Iterator[Callable[..., tuple[Server, httpx2.Client]]]:
    """`connect(**limits)` serves on loopback, and gives the server and a client of it."""
    clients: list[httpx2.Client] = []

    def connect(**limits: Any) -> tuple[Server, httpx2.Client]:
        server = serve(acting("answer"), **limits)
        server.service.guard.model.generation_config.eos_token_id = None  # Answers are as long as they may be.
        clients.append(httpx2.Client(base_url=listen(build_app(server.service)), timeout=60))
        return server, clients[-1]

    yield connect
    for client in clients:
        client.close()
