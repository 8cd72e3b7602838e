"""The pages of the repository, and the code blocks in them."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from recipes.train import main as train
from safe_llava.cli import app
from safe_llava.model_card import MODEL_ID


ROOT = Path(__file__).parents[2]
FOLDERS = ("recipes", "safe_llava", "model_cards")
NOTEBOOKS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "recipes" / "notebooks").glob("*.ipynb"))
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))]
    if "results" not in path.parts
)
FRONT_PAGE = "README.md"
CARD = "model_cards/safe_llava.md"
"""A template. What is run are the blocks of the card that it makes of a checkpoint, beside that checkpoint."""

TEST_COMMAND = "test command"
REASONS = {
    "installs": r"pip install|-m venv",
    "needs the Hub": r"llava-hf/|org/|push_to_hub|lmms_eval|run_utility",
    "needs a judge": r"openai/|--model-role",
    "waits for a person": r"review rate|inspect view|safe-llava demo",
    "takes minutes": r"quickstart( --|$)|-m recipes\.(audit|benchmark|reproduce|smol|study)|attack \S+ --output|pytest"
    r"|ruff|refresh\.py|safe-llava export|python guard|(calibrate|--model|serve) guard\b|OnnxGuard",
    "needs data of yours": r"shards/|mix665k|downloads/|mine/|labelled\.jsonl|accelerate launch|SOURCE",
    "needs the small LLaVA": r"\bsmol/",
    "needs several processes": r"torchrun|accelerate launch|inspect score",
}
"""What may keep a block from being run, and what each of its commands then shows."""

_BLOCK = re.compile(
    r"(?:^[ ]*<!-- (?P<note>[^\n]*?) -->\n)?^(?P<indent>[ ]*)```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, its first line's number, its language, its text and the comment above it."""

    page: str
    line: int
    language: str
    code: str
    note: str | None

    @property
    def is_code(self) -> bool:
        return self.language in ("bash", "python")

    @property
    def is_run(self) -> bool:
        return self.is_code and self.note is None

    @property
    def reasons(self) -> list[str]:
        """Why it is not run, without the words behind a semicolon."""
        return (self.note or "").removeprefix("not run: ").partition(";")[0].split(", ")

    @property
    def commands(self) -> list[str]:
        """The commands of a shell block, each on one line; a Python block is one command."""
        if self.language == "python":
            return [self.code]
        joined = re.sub(r"\\\n\s*", "", self.code)
        return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]

    @property
    def words(self) -> list[str]:
        """Those of a shell block that is one command and needs nothing of a shell; else none."""
        if self.language != "bash" or len(self.commands) != 1:
            return []
        if re.search(r"[|<>&$;`*?]", re.sub(r'"[^"$`]*"', "", self.commands[0])):
            return []
        return shlex.split(self.commands[0], comments=True)

    def __str__(self) -> str:
        return f"{self.page}, line {self.line}"


def read_cells(notebook: str) -> list[dict[str, Any]]:
    """The cells of a notebook, from top to bottom, with their source as one text."""
    cells = json.loads((ROOT / notebook).read_text(encoding="utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in cells]


def read_text(page: str) -> str:
    """What a page says; of a notebook what stands between its code."""
    if page not in NOTEBOOKS:
        return (ROOT / page).read_text(encoding="utf-8")
    return "\n\n".join(cell["source"] for cell in read_cells(page) if cell["cell_type"] == "markdown")


def read_blocks(page: str, text: str | None = None) -> list[Block]:
    """The fenced blocks of a page, or of a text in its place, from top to bottom."""
    text = read_text(page) if text is None else text
    return [
        Block(page, text.count("\n", 0, found.end("indent")) + 2, found["language"], found["code"], found["note"])
        for found in _BLOCK.finditer(text)
    ]


def read_card_blocks(model: Path) -> list[Block]:
    """The blocks of a checkpoint's card, which name the checkpoint in place of where it will be pushed to."""
    return read_blocks(CARD, (model / "README.md").read_text().replace(MODEL_ID, model.name))


def run_blocks(blocks: list[Block], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Runs the blocks of one page in order, in one folder. Python blocks share their names, as in one session.

    The folder must hold `quickstart/` as the command leaves it. A clone's recipes are at hand there too.
    """
    monkeypatch.chdir(folder)
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    if not (folder / "recipes").exists():
        (folder / "recipes").symlink_to(ROOT / "recipes")
    names: dict[str, object] = {"__name__": "__main__"}
    shells: list[subprocess.Popen] = []
    try:
        for block in blocks:
            if not block.is_run:
                continue
            if block.language == "python":
                exec(compile("\n" * (block.line - 1) + block.code, str(ROOT / block.page), "exec"), names)
                continue
            # A process of its own would load torch and transformers once more.
            if block.words[:1] == ["safe-llava"]:
                done = CliRunner().invoke(app, block.words[1:])
                assert done.exit_code == 0, f"{block}:\n{block.code}\n{done.output}"
                continue
            if block.words[:2] == ["python", "recipes/train.py"]:
                train(block.words[2:])
                continue
            command = ["bash", "-euo", "pipefail", "-c", block.code]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            shells.append(subprocess.Popen(command, env=environment, start_new_session=True, **pipes))
            output, errors = shells[-1].communicate()
            assert shells[-1].returncode == 0, f"{block}:\n{block.code}\n{output}\n{errors}"
    finally:
        for shell in shells:
            # What a block left in the background, such as a server for the blocks below it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)


def read_links(page: str) -> Iterator[str]:
    """Where the links and images of a page lead, code blocks aside."""
    prose = read_prose(page)
    yield from re.findall(r"\]\(([^)\s]+)\)", prose)
    yield from re.findall(r'(?:src|href)="([^"]+)"', prose)


def read_prose(page: str) -> str:
    """A page without its blocks."""
    return _BLOCK.sub("", read_text(page))


def read_anchors(page: Path) -> set[str]:
    """The names by which a page's headings are linked, as the code host makes them."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
