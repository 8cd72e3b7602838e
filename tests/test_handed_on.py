"""An argument that a function takes reaches what it calls: where both have it by one name, it is handed on."""

import ast
import collections
from collections.abc import Iterator
from pathlib import Path


ROOT = Path(__file__).parents[1]
KEPT = {
    # The card speaks of the LLaVA that was converted; its `source` is a checkpoint that training started from.
    ("convert_llava_checkpoint", "write_model_card", "source"),
    # Which rows stand for others does not depend on which are drawn at random.
    ("write_report", "shuffle_keys", "seed"),
    # Here the folder joins names afterwards, of which it must be known that they were names.
    ("_read_images", "images_of", "folder"),
    # Counted at the length that tables speak of, whatever is timed.
    ("main", "count_ways", "new_tokens"),
}


def parameters(function: ast.FunctionDef) -> tuple[list[str], set[str], set[str]]:
    """The parameters that may be given by position, the names of all, and of those that may be left out."""
    arguments = function.args
    positional = [argument.arg for argument in arguments.posonlyargs + arguments.args]
    by_name = {argument.arg: default for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults)}
    optional = {*positional[len(positional) - len(arguments.defaults) :], *(name for name in by_name if by_name[name])}
    return positional, {*positional, *by_name}, optional


def left_out(caller: ast.FunctionDef, functions: dict[str, list[ast.FunctionDef]]) -> Iterator[tuple[str, str, str]]:
    """The caller's parameters that a function it calls has too, and is not given."""
    for call in ast.walk(caller):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            continue
        unpacked = any(isinstance(value, ast.Starred) for value in call.args) or None in {
            keyword.arg for keyword in call.keywords
        }
        # A name that two functions have is not resolved: it may be either.
        if unpacked or len(functions[call.func.id]) != 1:
            continue
        positional, _, optional = parameters(functions[call.func.id][0])
        given = {*positional[: len(call.args)], *(keyword.arg for keyword in call.keywords)}
        for name in (parameters(caller)[1] & optional) - given:
            yield caller.name, call.func.id, name


def test_a_parameter_that_the_callee_has_too_is_handed_on():
    functions: dict[str, list[ast.FunctionDef]] = collections.defaultdict(list)
    for folder in ("safe_llava", "recipes"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef):
                    functions[node.name].append(node)
    found = {case for same in list(functions.values()) for each in same for case in left_out(each, functions)}
    assert len(functions) > 1000
    assert found == KEPT
