"""A guard by its name: what `safe-llava export` wrote runs on onnxruntime, every other one on torch."""

from ..models.onnx_folder import is_exported
from .assessing_guard import AssessingGuard


def open_guard(model: str, device: str | None = None, dtype: str = "auto", onnx_threads: int = 0) -> AssessingGuard:
    """
    What assesses and cannot answer. Imports torch only where it is needed.

    Args:
        model (`str`): an exported folder; or the checkpoint of a guard or of a whole model, a folder or a Hub id.
        device (`str`, *optional*): defaults to the accelerator of this process, or the CPU.
        dtype (`str`, *optional*, defaults to `"auto"`): the weights' type; "auto" keeps the checkpoint's.
        onnx_threads (`int`, *optional*, defaults to 0): of onnxruntime; 0 takes every core.

    Raises:
        ValueError: if there is no such guard, or an argument has no effect on it.
    """
    if is_exported(model):
        from ..models.onnx_guard import OnnxGuard

        refuse_torch_options(model, device, dtype)
        return OnnxGuard(model, num_threads=onnx_threads)
    from ..checkpoints import load_guard
    from .torch_guard import TorchGuard

    return TorchGuard(*load_guard(model, device, dtype))


def refuse_torch_options(model: str, device: str | None, dtype: str) -> None:
    """
    Raises a `ValueError` where device or type were chosen for an exported folder, whose file has its type already.
    """
    given = [
        name for name, is_given in (("device", device not in (None, "cpu")), ("dtype", dtype != "auto")) if is_given
    ]
    if given:
        raise ValueError(
            f"--{given[0]} has no effect on {model}, which `safe-llava export` wrote: it runs on the CPU in the "
            "numbers that it was exported in. Leave it out."
        )
