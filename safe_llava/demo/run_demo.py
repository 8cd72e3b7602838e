"""`safe-llava demo`: loads a model and serves the page."""

from collections.abc import Callable
from pathlib import Path

from ..pages.local_page import LOCAL_NAMES
from ..serving.serving_settings import ServingLimits
from .demo_model import DemoModel
from .demo_page import serve_demo


def run_demo(
    model: str,
    *,
    name: str | None = None,
    policy: Path | None = None,
    host: str = LOCAL_NAMES[0],
    port: int = 7860,
    max_new_tokens: int = 256,
    device: str | None = None,
    dtype: str = "auto",
    say: Callable[[str], None] = print,
) -> None:
    """
    Serves the page until the process is stopped.

    Args:
        model (`str`): a SafeLLaVA checkpoint, a folder or a Hub id.
        name (`str`, *optional*): what visitors know it by. Defaults to the last part of `model`.
        policy (`Path`, *optional*): JSON with changes to the stored policy.
        host (`str`, *optional*, defaults to `"127.0.0.1"`): address to listen on.
        port (`int`, *optional*, defaults to 7860): port.
        max_new_tokens (`int`, *optional*, defaults to 256): longest answer, in tokens.
        device (`str`, *optional*): defaults to the accelerator of this process, or the CPU.
        dtype (`str`, *optional*, defaults to `"auto"`): the weights' type; "auto" keeps the checkpoint's.
        say (`Callable`, *optional*): takes what the user should read.

    Raises:
        ValueError: if the checkpoint cannot be shown or the policy is wrong.
    """
    demo = DemoModel.load(model, ServingLimits(new_tokens=max_new_tokens), policy, device, dtype, name)
    if host not in LOCAL_NAMES:
        say(f"Anyone who reaches {host} may ask, and change the policy in a tab of their own.")
    say(f"Open http://{host}:{port} in a browser. Nothing is kept; stop with Ctrl+C.")
    serve_demo(demo, host, port)
