"""LiteLLM's own proxy in front of an engine, which sees what this server lets through."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from serving.fake_engine import FakeEngine
from serving.request_bodies import acting, image_part, text_part

from safe_llava.models.safety_labels import RISK_TYPES
from safe_llava.serving.server_app import build_app


pytest.importorskip("litellm", reason="needs litellm[proxy], in an environment of its own")
pytest.importorskip("apscheduler", reason="needs litellm[proxy], and litellm is there without its proxy")

KEY, PROXY_KEY = "sesame", "sk-proxy"
WORDS = {
    "hints": {name: {"high": "Take care."} for name in RISK_TYPES},
    "refusals": dict.fromkeys(RISK_TYPES, "No, thanks."),
}
NOWHERE = "http://127.0.0.1:9"


class Proxy:
    """The process, with one guardrail by the name of each address."""

    def __init__(self, engine: str, guardrails: dict[str, tuple[str, str]], folder: Path):
        config = {
            "model_list": [
                {
                    "model_name": "model",
                    "litellm_params": {"model": "openai/theirs", "api_base": f"{engine}/v1", "api_key": "none"},
                }
            ],
            "guardrails": [
                {
                    "guardrail_name": name,
                    "litellm_params": {
                        "guardrail": "generic_guardrail_api",
                        "mode": "pre_call",
                        "api_base": url,
                        "api_key": key,
                    },
                }
                for name, (url, key) in guardrails.items()
            ],
            "general_settings": {"master_key": PROXY_KEY},
            "litellm_settings": {"num_retries": 0},
        }
        path = folder / "litellm.yaml"
        path.write_text(json.dumps(config))  # JSON is YAML.
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "litellm.proxy.proxy_cli", "--config", path, "--port", port]
        self.said = folder / "litellm.log"
        with self.said.open("w") as log:
            self.process = subprocess.Popen(
                [*map(str, command), "--host", "127.0.0.1", "--telemetry", "False"],
                stdout=log,
                stderr=subprocess.STDOUT,
                # Nothing is fetched.
                env=os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "127.0.0.1"},
            )
        self.client = httpx2.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {PROXY_KEY}"},
            timeout=60,
            trust_env=False,
        )

    def wait(self) -> None:
        """Returns when it answers."""
        deadline = time.monotonic() + 180
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                if self.client.get("/health/liveliness").status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.5)
        raise AssertionError(self.said.read_text()[-3000:])

    def ask(self, guardrail: str, *parts: dict[str, Any]) -> httpx2.Response:
        messages = [{"role": "user", "content": list(parts)}]
        body = {"model": "model", "messages": messages, "guardrails": [guardrail]}
        return self.client.post("/v1/chat/completions", json=body)


@pytest.fixture
def start_proxy(tmp_path):
    """`start_proxy(engine's URL, guardrails)` starts LiteLLM's proxy."""
    started: list[Proxy] = []

    def start(engine: str, guardrails: dict[str, tuple[str, str]]) -> Proxy:
        started.append(Proxy(engine, guardrails, tmp_path))
        started[-1].wait()
        return started[-1]

    yield start
    for proxy in started:
        proxy.client.close()
        proxy.process.kill()
        proxy.process.wait()


@pytest.mark.slow
def test_the_engine_behind_litellm_is_sent_what_the_policy_lets_through(serve, listen, start_proxy, image_url):
    engine = FakeEngine()
    addresses = {
        action: listen(build_app(serve(acting(action, **WORDS), api_key=KEY).service))
        for action in ("answer", "hint", "refuse")
    }
    guardrails = {action: (url, KEY) for action, url in addresses.items()}
    guardrails |= {"with a wrong key": (addresses["answer"], "guess"), "gone": (NOWHERE, KEY)}
    proxy = start_proxy(listen(engine.app), guardrails)

    parts = text_part("Who is this?"), image_part(image_url)
    unreadable = image_part("data:image/png;base64,AAAA")
    replies, reached = {}, {}
    for name in guardrails:
        asked = len(engine.asked)
        replies[name] = proxy.ask(name, *parts)
        reached[name] = [request["messages"][-1]["content"] for request in engine.asked[asked:]]
    asked = len(engine.asked)
    assert proxy.ask("answer", text_part("Who?"), unreadable).status_code >= 400
    assert len(engine.asked) == asked

    assert reached == {
        "answer": [list(parts)],
        "hint": [[text_part("Who is this? Take care."), parts[1]]],
        "refuse": [],
        "with a wrong key": [],
        "gone": [],
    }
    answered = {name for name, reply in replies.items() if reply.status_code == 200}
    assert answered == {"answer", "hint"}
    assert replies["answer"].json()["choices"][0]["message"]["content"] == "A red circle."
    assert "No, thanks." in replies["refuse"].text
