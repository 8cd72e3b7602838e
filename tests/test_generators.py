"""
No generator is left while threads of its own are at work.

Whoever stops reading leaves it as it is, and the garbage collector ends it later, wherever it happens to run. Were it
to wait for threads there, it could wait for a lock that the thread it runs in has taken, and so for ever.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
FILES = sorted(path for folder in ("safe_llava", "recipes") for path in (ROOT / folder).rglob("*.py"))


def body_of(function: ast.AST) -> Iterator[ast.AST]:
    """What a function does itself, without the functions in it."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.GeneratorExp):
            yield node
            yield from body_of(node)


def left_with_threads(code: str) -> list[str]:
    """The functions that yield inside a `with` that waits for a pool's threads or processes at its end."""
    return [
        function.name
        for function in ast.walk(ast.parse(code))
        if isinstance(function, ast.FunctionDef)
        for block in body_of(function)
        if isinstance(block, ast.With)
        and any("Pool" in ast.unparse(item.context_expr) for item in block.items)
        and any(isinstance(node, ast.Yield | ast.YieldFrom) for node in body_of(block))
    ]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("def a():\n with ThreadPoolExecutor(4) as pool:\n  yield from pool.map(f, x)", ["a"]),
        ("def a():\n if x:\n  with futures.ProcessPoolExecutor() as pool:\n   for y in x:\n    yield y", ["a"]),
        ("def a():\n with ThreadPoolExecutor() as pool:\n  y = list(pool.map(f, x))\n yield from y", []),
        ("def a():\n with ThreadPoolExecutor() as pool:\n  return list(pool.map(f, x))", []),
        ("def a():\n with open(x) as file:\n  yield from file", []),
    ],
)
def test_what_is_looked_for_is_found(code, found):
    assert left_with_threads(code) == found


def test_no_generator_yields_while_it_holds_threads():
    found = [f"{path.relative_to(ROOT)}: {name}" for path in FILES for name in left_with_threads(path.read_text())]
    assert found == []
