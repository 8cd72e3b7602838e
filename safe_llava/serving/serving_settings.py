"""What the operator of a server decides: names, limits, who may ask, and what is written down."""

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit


@dataclass(frozen=True)
class ServingLimits:
    """
    What one request may be, and how many of them there may be.

    Args:
        body_bytes (`int`): largest body of a request.
        image_bytes (`int`): largest encoded image.
        image_pixels (`int`): largest image that is decoded.
        images (`int`): images in one request.
        turns (`int`): messages of a chat, or inputs of a moderation.
        text_chars (`int`): characters of all texts of a request.
        new_tokens (`int`): longest answer, and the default where a request says nothing.
        choices (`int`): answers to one request.
        chats (`int`): chats that are answered or wait; one more is told to come back later.
        moderations (`int`): moderations and guardrail calls likewise.
        guard_batch (`int`): prompts that the guard assesses together.
        body_seconds (`float`): how long a client may take to send its request.
        fetch_seconds (`float`): how long a host may take to send an image.
    """

    body_bytes: int = 20 * 2**20
    image_bytes: int = 10 * 2**20
    image_pixels: int = 25_000_000
    images: int = 8
    turns: int = 64
    text_chars: int = 100_000
    new_tokens: int = 1024
    choices: int = 8
    chats: int = 32
    moderations: int = 64
    guard_batch: int = 16
    body_seconds: float = 30.0
    fetch_seconds: float = 10.0


@dataclass(frozen=True)
class Upstream:
    """
    Another engine with the same language model, that speaks OpenAI's form.

    Args:
        url (`str`): its base URL, such as `http://10.0.0.2:8000/v1`.
        model (`str`): the model's name there.
        api_key (`str`, *optional*): what it asks for.
        images (`str`, *optional*, defaults to `"images"`):
            What it is sent of an image: the image, or `"embeds"`, the rows that the guard's pass has made of it.

    Raises:
        ValueError: if the URL is none.
    """

    url: str
    model: str
    api_key: str | None = None
    images: Literal["images", "embeds"] = "images"

    def __post_init__(self):
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"--upstream is a base URL such as http://10.0.0.2:8000/v1, got {self.url!r}.")


@dataclass(frozen=True)
class ServingSettings:
    """
    What holds for every request.

    Args:
        name (`str`): the model's name in requests and answers.
        image_hosts (`tuple[str, ...]`): hosts, or `host:port`s, that images may be fetched from.
        api_key (`str`, *optional*): what clients must show.
        observe_only (`bool`): whether the policy is reported and written down, and not enforced.
        log_content (`bool`): whether texts and images go into the audit log.
        upstream ([`Upstream`], *optional*): the engine that answers, in place of this process.
        limits ([`ServingLimits`]): sizes and numbers.
    """

    name: str
    image_hosts: tuple[str, ...] = ()
    api_key: str | None = None
    observe_only: bool = False
    log_content: bool = False
    upstream: Upstream | None = None
    limits: ServingLimits = field(default_factory=ServingLimits)
