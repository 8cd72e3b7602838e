"""Modules of others that register what transformers does not have, such as a vision tower of one's own."""

import importlib
import os


VARIABLE = "SAFE_LLAVA_IMPORT"


def import_foreign_modules() -> None:
    """
    Imports the modules that `SAFE_LLAVA_IMPORT` names, separated by commas: for every command and every process that
    one starts, which would not know them else.

    Raises:
        ValueError: if one cannot be imported.
    """
    for name in filter(None, map(str.strip, os.environ.get(VARIABLE, "").split(","))):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ValueError(f"`{VARIABLE}` names {name!r}, which cannot be imported: {error}") from error
