"""A page of NiceGUI, served until the process is stopped."""

from pathlib import Path
from typing import Any

from nicegui import app, ui
from starlette.middleware.trustedhost import TrustedHostMiddleware


LOCAL_NAMES = ("127.0.0.1", "localhost")


def serve_page(title: str, port: int, host: str = LOCAL_NAMES[0], **options: Any) -> None:
    """
    Serves what was declared with `ui.page`.

    Args:
        title (`str`): title of the window.
        port (`int`): port to listen on.
        host (`str`, *optional*, defaults to `"127.0.0.1"`): address to listen on.
        options (`Any`): more of `ui.run`.
    """
    if host in LOCAL_NAMES:
        # Else a site that points its own name to 127.0.0.1 could read images and texts from the user's browser.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOCAL_NAMES))
    ui.run(
        host=host,
        port=port,
        title=title,
        favicon="⚖️",
        dark=None,
        show=False,
        reload=False,
        show_welcome_message=False,
        **options,
    )


def add_style(style: Path) -> None:
    """Gives the page the look of all pages, and what a style sheet of its own says beside."""
    ui.add_css(Path(__file__).with_name("pages.css"))
    ui.add_css(style)
    ui.colors(primary="#2457c5")
