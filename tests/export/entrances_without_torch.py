"""
The commands with an exported guard, in a process that may import torch and must not: `python FILE FOLDER WORK IMAGES
ROWS` prints what came of them. It ends what it serves as an operator would, by a signal.
"""

import importlib.util
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import uvicorn


TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]
HEAVY = ("accelerate", "torch", "transformers", "trl")


def load_cli() -> Any:
    """The commands as they are installed: outside of the package."""
    folder = TESTS.parent / "safe_llava" / "cli"
    spec: Any = importlib.util.spec_from_file_location(
        "safe_llava_cli", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    sys.modules["safe_llava_cli"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["safe_llava_cli"])
    return sys.modules["safe_llava_cli"].app


def listen(app: Any) -> str:
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off")
    listening = config.bind_socket()
    threading.Thread(target=uvicorn.Server(config).run, args=([listening],), daemon=True).start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


def find_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def ask(port: int, image: Path, replies: list[Any]) -> None:
    """Asks a server that is starting in the main thread, then ends it."""
    from serving.request_bodies import chat_body, image_part, text_part

    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            for _ in range(600):
                try:
                    client.get("/health")
                    break
                except httpx2.TransportError:
                    time.sleep(0.1)
            part = image_part(f"data:image/png;base64,{base64_of(image)}")
            replies.append(client.post("/v1/moderations", json={"input": [part, text_part("Who?")]}).json())
            replies.append(client.post("/v1/moderations", json={"input": "Who?"}).json())
            replies.append(client.post("/v1/chat/completions", json=chat_body(part, text_part("Who?"))).json())
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


def base64_of(path: Path) -> str:
    import base64

    return base64.b64encode(path.read_bytes()).decode()


def main(folder: str, work: Path, images: Path, rows: str) -> None:
    from typer.testing import CliRunner

    app, said = load_cli(), []

    def run(*arguments: object) -> None:
        result = CliRunner().invoke(app, [*map(str, arguments)])
        said.append({"exit_code": result.exit_code, "output": result.output, "error": repr(result.exception)})

    def serve(*options: object) -> list[Any]:
        replies: list[Any] = []
        port, image = find_port(), next(images.glob("*.png"))
        thread = threading.Thread(target=ask, args=(port, image, replies))
        thread.start()
        run("serve", folder, "--port", port, "--name", "tiny", "--audit-log", work / "log.jsonl", *options)
        thread.join()
        return replies

    run("audit", images, "--model", folder, "--output-dir", work / "audit")
    from serving.fake_engine import FakeEngine

    engine = FakeEngine()
    (work / "policy.json").write_text(json.dumps(json.loads((work / "acting.json").read_text())))
    with_engine = serve("--policy", work / "policy.json", "--upstream", listen(engine.app))
    alone = serve()
    run("calibrate", folder, rows, "--output-dir", work / "calibrated", "--min-examples", 3)
    found = {"said": said, "with_engine": with_engine, "alone": alone, "asked": engine.asked}
    print(json.dumps({**found, "imported": [name for name in HEAVY if name in sys.modules]}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
