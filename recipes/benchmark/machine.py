"""What a benchmark runs on, and what its results say of that."""

from typing import Any

import torch

from safe_llava.files import describe_machine, describe_versions


def device_and_dtype() -> tuple[str, torch.dtype]:
    """The GPU and bfloat16 where there is one, else the CPU and float32."""
    return ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)


def describe_this_machine() -> str:
    """The machine in words, with its GPU where there is one."""
    return describe_machine(torch.cuda.get_device_name() if torch.cuda.is_available() else None)


def wait_for_device() -> None:
    """Wait until a GPU has done what it was told, so that a clock can be read."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def describe_setting(*packages: str) -> dict[str, Any]:
    """
    What measured figures depend on beside what was asked.

    Args:
        packages (`str`): installed distributions beside torch and transformers whose versions matter.

    Returns:
        `dict[str, Any]`: `machine`, `threads`, `dtype` and `versions`.
    """
    return {
        "machine": describe_this_machine(),
        "threads": torch.get_num_threads(),
        "dtype": str(device_and_dtype()[1]).removeprefix("torch."),
        "versions": describe_versions("torch", "transformers", *packages),
    }
