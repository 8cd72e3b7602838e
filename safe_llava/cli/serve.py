"""`safe-llava serve`."""

import os
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .options import Device, DType, ModelOrGuard, PolicyChanges, reported
from .package_import import import_package


class UpstreamImages(str, Enum):
    images = "images"
    embeds = "embeds"


def serve(
    model: ModelOrGuard,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    name: Annotated[str | None, typer.Option(help="The model's name in requests; default: MODEL's last part.")] = None,
    policy: PolicyChanges = None,
    observe_only: Annotated[
        bool, typer.Option("--observe-only", help="Report and log what the policy would do, and do nothing.")
    ] = False,
    api_key: Annotated[
        str | None, typer.Option(envvar="SAFE_LLAVA_API_KEY", help="What clients must show; better by environment.")
    ] = None,
    allow_image_hosts: Annotated[
        list[str] | None,
        typer.Option(help="Host, or host:port, that images may be fetched from; may be given several times."),
    ] = None,
    audit_log: Annotated[
        Path, typer.Option(dir_okay=False, help="Gets a line for every request before it is answered.")
    ] = Path("audit-log.jsonl"),
    audit_log_megabytes: Annotated[int, typer.Option(min=1, help="Size at which a new file of it begins.")] = 100,
    audit_log_files: Annotated[int, typer.Option(min=1, help="Older files of it that are kept.")] = 100,
    log_content: Annotated[
        bool, typer.Option("--log-content", help="Write texts and images into the audit log too.")
    ] = False,
    max_body_megabytes: Annotated[int, typer.Option(min=1, help="Largest request.")] = 20,
    max_image_megabytes: Annotated[int, typer.Option(min=1, help="Largest encoded image.")] = 10,
    max_megapixels: Annotated[int, typer.Option(min=1, help="Largest image that is decoded.")] = 25,
    max_images: Annotated[int, typer.Option(min=1, help="Images in one request.")] = 8,
    max_turns: Annotated[int, typer.Option(min=1, help="Messages of a chat, or inputs of a moderation.")] = 64,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer; the default of requests, too.")] = 1024,
    max_chats: Annotated[int, typer.Option(min=1, help="Chats at work or waiting; one more gets 429.")] = 32,
    max_moderations: Annotated[int, typer.Option(min=1, help="Moderations likewise.")] = 64,
    upstream: Annotated[
        str | None,
        typer.Option(help="Base URL of an engine with the same language model that answers, such as vLLM's .../v1."),
    ] = None,
    upstream_model: Annotated[str | None, typer.Option(help="The model's name there; default: this one's.")] = None,
    upstream_api_key: Annotated[
        str | None, typer.Option(envvar="SAFE_LLAVA_UPSTREAM_API_KEY", help="What that engine asks for.")
    ] = None,
    upstream_images: Annotated[
        UpstreamImages | None,
        typer.Option(
            help="What it is sent of an image: the image (default), or embeds, the rows that the guard's own pass of "
            "the vision tower has made, where the engine takes parts of type image_embeds."
        ),
    ] = None,
    shutdown_seconds: Annotated[int, typer.Option(min=1, help="What running answers may take at the end.")] = 60,
    device: Device = None,
    dtype: Annotated[DType, typer.Option(help="Weights' type; auto keeps the checkpoint's.")] = DType.auto,
) -> None:
    """Serve moderation and chat in OpenAI's form; every image is assessed before anything answers."""
    with reported("serve"):
        import_package(model)
        from safe_llava.serving.image_addresses import read_host
        from safe_llava.serving.run_server import run_server
        from safe_llava.serving.serving_settings import ServingLimits, ServingSettings, Upstream

        texts = {
            "--name": name,
            "--host": host,
            "--api-key": api_key,
            "--upstream": upstream,
            "--upstream-model": upstream_model,
            "--upstream-api-key": upstream_api_key,
            # An empty one would count as none, and leave open what was to be closed.
            "SAFE_LLAVA_API_KEY": os.environ.get("SAFE_LLAVA_API_KEY"),
            "SAFE_LLAVA_UPSTREAM_API_KEY": os.environ.get("SAFE_LLAVA_UPSTREAM_API_KEY"),
        }
        if empty := [option for option, text in texts.items() if text is not None and not text.strip()]:
            raise ValueError(f"{empty[0]} is empty. Leave it out, or give it a value.")
        if upstream is None and (upstream_model or upstream_api_key or upstream_images):
            raise ValueError(
                "--upstream-model, --upstream-api-key and --upstream-images are those of an --upstream; give its URL."
            )
        folder = Path(model)
        served = name or (folder.resolve() if folder.is_dir() else folder).name
        limits = ServingLimits(
            body_bytes=max_body_megabytes * 2**20,
            image_bytes=max_image_megabytes * 2**20,
            image_pixels=max_megapixels * 10**6,
            images=max_images,
            turns=max_turns,
            new_tokens=max_tokens,
            chats=max_chats,
            moderations=max_moderations,
        )
        settings = ServingSettings(
            name=served,
            image_hosts=tuple(map(read_host, allow_image_hosts or [])),
            api_key=api_key,
            observe_only=observe_only,
            log_content=log_content,
            limits=limits,
            upstream=None
            if upstream is None
            else Upstream(
                upstream,
                upstream_model or served,
                upstream_api_key,
                (upstream_images or UpstreamImages.images).value,
            ),
        )
        run_server(
            model,
            settings,
            host=host,
            port=port,
            policy=policy,
            audit_log=audit_log,
            audit_log_bytes=audit_log_megabytes * 2**20,
            audit_log_files=audit_log_files,
            shutdown_seconds=shutdown_seconds,
            device=device,
            dtype=dtype.value,
            say=typer.echo,
        )
