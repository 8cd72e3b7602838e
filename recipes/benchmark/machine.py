"""What a benchmark runs on, and what its results say of that."""

from typing import Any

import torch

from safe_llava.files import describe_machine, describe_versions


def device_and_dtype() -> tuple[str, torch.dtype]:
    """The GPU and bfloat16 where there is one, else the CPU and float32."""
    return ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)


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
    device, dtype = device_and_dtype()
    return {
        "machine": describe_machine(torch.cuda.get_device_name() if device == "cuda" else None),
        "threads": torch.get_num_threads(),
        "dtype": str(dtype).removeprefix("torch."),
        "versions": describe_versions("torch", "transformers", *packages),
    }
