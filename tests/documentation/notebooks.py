"""How a test runs a notebook, and what the tags of its cells mean."""

import builtins
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from documentation.pages import read_cells
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config


INSTALL, PARAMETERS = "install", "parameters"
"""Tags of cells: the one that installs the package, and the one whose values a run may replace, as papermill does."""


def has_tag(cell: dict[str, Any], tag: str) -> bool:
    return tag in cell["metadata"].get("tags", [])


def run_notebook(notebook: str, **parameters: Any) -> list[Any]:
    """
    Runs the code cells of a notebook from top to bottom in the present folder, in this process: a kernel of its own
    would load torch and transformers once more.

    Args:
        notebook (`str`): the notebook, by its path in the repository.
        parameters (`Any`): what takes the place of the values that its cell of parameters sets.

    Returns:
        `list[Any]`: what each code cell shows at its end, `None` where that is nothing.
    """
    shown = []
    with _shell() as shell, capture_output():
        for number, cell in enumerate(read_cells(notebook), start=1):
            if cell["cell_type"] != "code":
                continue
            result = shell.run_cell(cell["source"])
            assert result.success, f"{notebook}, cell {number}: {result.error_before_exec or result.error_in_exec!r}"
            shown.append(result.result)
            if has_tag(cell, PARAMETERS):
                assert parameters.keys() <= shell.user_ns.keys(), f"{notebook} has other parameters"
                shell.user_ns.update(parameters)
    return shown


@contextmanager
def _shell() -> Iterator[InteractiveShell]:
    """What Jupyter's kernel runs cells in; afterwards the interpreter is as it was."""
    main, names = sys.modules["__main__"], vars(builtins).copy()
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    try:
        yield shell
    finally:
        shell.restore_sys_module_state()
        InteractiveShell.clear_instance()
        sys.modules["__main__"] = main
        for name in vars(builtins).keys() - names.keys():
            delattr(builtins, name)
