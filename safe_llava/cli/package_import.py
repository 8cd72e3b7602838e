"""`safe_llava`, imported without torch where that is not needed."""

import importlib.util
import sys
from typing import Any


def import_package(model: str) -> None:
    """
    Imports `safe_llava`. Its `__init__` registers classes, for which it imports torch: it is left out where an
    exported guard takes the place of a model. What is imported of the package then imports no more than it needs.

    Args:
        model (`str`): a checkpoint, or the folder of an exported guard.

    Raises:
        ValueError: if the model is the ONNX file beside such a folder.
    """
    if "safe_llava" in sys.modules:
        return
    spec: Any = importlib.util.find_spec("safe_llava")
    package = importlib.util.module_from_spec(spec)
    sys.modules["safe_llava"] = package
    from safe_llava.models.onnx_folder import is_exported

    if not is_exported(model):
        spec.loader.exec_module(package)
