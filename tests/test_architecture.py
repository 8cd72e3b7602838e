"""The house rules that a reader relies on: where a thing stands, what it may import, and how far an image walks."""

import ast
import collections
import graphlib
import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from transformers.utils import ModelOutput

import safe_llava


PACKAGE = Path(safe_llava.__file__).parent
ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("safe_llava", "recipes") for path in (ROOT / folder).rglob("*.py"))
# A card is built where the package is installed; the file that asks for it travels without the package.
GUARDED = ("safe_llava.models.hub_safe_llava", "safe_llava.model_card")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in SOURCES}


def imported_modules(name: str) -> set[str]:
    """The modules of this repository that a module imports, at its top or inside a function."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = (
                importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                if node.level
                else node.module
            )
            children = {f"{base}.{alias.name}" for alias in node.names}
            found |= {child for child in children if child in MODULES} or {base}
    return {target for target in found & MODULES.keys() if target != name}


IMPORTS = {name: imported_modules(name) for name in MODULES}


def require_no_circle(graph: dict[str, set[str]]) -> None:
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_file_imports_itself_through_others():
    require_no_circle(IMPORTS)


def test_no_folder_imports_itself_through_others():
    def room(name: str) -> str:
        return ".".join(name.split(".")[:2])

    graph: dict[str, set[str]] = collections.defaultdict(set)
    for name, targets in IMPORTS.items():
        # The package's face hands names on; `import safe_llava` registers.
        kept = {target for target in targets if target != "safe_llava" and (name, target) != GUARDED}
        graph[room(name)] |= {room(target) for target in kept} - {room(name)}
    require_no_circle(graph)


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("safe_llava.models.")])
def test_what_travels_imports_nothing_that_stays(name):
    assert all(target.startswith("safe_llava.models.") or (name, target) == GUARDED for target in IMPORTS[name])


def test_the_folder_that_travels_is_flat():
    assert not [path for path in (PACKAGE / "models").iterdir() if path.is_dir() and path.name != "__pycache__"]


@pytest.mark.parametrize(
    "path", [*SOURCES, *(ROOT / "tests").rglob("*.py")], ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_file_is_read_without_scrolling_back(path):
    assert len(path.read_text().splitlines()) <= 300


def test_one_file_name_means_one_thing():
    # A command of the command line has the name of what it starts.
    names = collections.Counter(path.name for path in SOURCES if path.parent.name != "cli" and path.name[:2] != "__")
    assert not [name for name, count in names.items() if count > 1]


class Traced(torch.Tensor):
    """A tensor that all tensors made of it are kin to."""


def holds_traced(value: object) -> bool:
    if isinstance(value, ModelOutput | dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return any(map(holds_traced, value))
    return isinstance(value, Traced)


def test_an_image_walks_through_six_files_from_generate_to_the_answer(tiny_safe_llava, tiny_processor, make_image):
    content = [{"type": "image", "image": make_image(0)}, {"type": "text", "text": "Who is this?"}]
    inputs = tiny_processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    inputs["pixel_values"] = inputs["pixel_values"].as_subclass(Traced)
    assert tiny_safe_llava.explain_distrust() is None  # What is looked into once is not the walk.
    tiny_safe_llava._has_looked_at_pixels = True
    entered: set[str] = set()

    def enter(frame, event, argument):
        path = Path(frame.f_code.co_filename)
        if event == "call" and PACKAGE in path.parents and any(map(holds_traced, frame.f_locals.values())):
            entered.add(path.name)

    sys.setprofile(enter)
    try:
        tiny_safe_llava.generate(**inputs, max_new_tokens=2, do_sample=False)
    finally:
        sys.setprofile(None)
    assert len(entered) <= 6, entered
