"""What commands have in common: options, and how bad input is reported."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer


Model = Annotated[str, typer.Argument(metavar="MODEL", help="SafeLLaVA checkpoint: a folder or a Hub id.")]
ModelOrGuard = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="SafeLLaVA checkpoint: a folder or a Hub id; or an exported guard's folder."),
]
PolicyChanges = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="JSON with the fields to change in the stored policy."),
]
Device = Annotated[str | None, typer.Option(help="Such as cpu or cuda:0; the first accelerator by default.")]

EXTRAS = {
    "fastapi": "review",
    "gguf": "smol",
    "httpx2": "serve",
    "imagehash": "audit",
    "inspect_ai": "evaluation",
    "krippendorff": "review",
    "lmms_eval": "utility",
    "matplotlib": "plot",
    "nicegui": "review",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "prometheus_client": "serve",
    "ray": "ray",
    "resvg_py": "smol",
    "uvicorn": "serve",
}
"""Modules that come with an extra of the package."""


REQUIRED = ("accelerate", "peft", "safetensors", "torch", "transformers", "trl")
"""Modules that come with the package, unless it was installed without its requirements."""


class DType(str, Enum):
    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


def read_policy_changes(path: Path | None) -> dict[str, Any] | None:
    """The fields that a JSON file changes in a policy, checked."""
    if path is None:
        return None
    from safe_llava.models.safety_policy import read_policy_changes as read

    return read(path)


def require_free(port: int, host: str = "127.0.0.1") -> None:
    """Raises an `OSError` unless a page can be served there."""
    try:
        [(family, *_, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        hint = "--port" if host == "127.0.0.1" else "--port or --host"
        raise OSError(f"{host} port {port} cannot be used ({error.strerror}); choose another {hint}.") from None


@contextmanager
def reported(extra: str | None = None) -> Iterator[None]:
    """
    Bad input and bad files end in one line and exit code 1, not in a traceback. Of modules that come with several
    extras `extra` is the one of the command.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").replace("-", "_")  # Of a package whose version is asked for, with a hyphen.
        if name in REQUIRED:
            hint = (
                f"{name} is missing. Only serve, audit and calibrate of an exported guard do without it. "
                "Install it: pip install safe-llava"
            )
        elif name in EXTRAS:
            hint = f"{name} is missing. Install it: pip install 'safe-llava[{extra or EXTRAS[name]}]'"
        else:
            raise
        # Where a package takes more than its extra, its own message says so.
        typer.secho(f"Error: {error if 'pip install' in str(error) else hint}", fg="red", err=True)
        raise typer.Exit(1) from None
    except (OSError, ValueError) as error:
        typer.secho(f"Error: {error}", fg="red", err=True)
        raise typer.Exit(1) from None
