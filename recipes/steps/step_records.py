"""
What is known of each step: whether its output is whole, and what it was made from.

A record is written when a step starts and when it has ended well, each time in one move, so that a kill at any moment
leaves no half-written output that counts as done. DVC, Snakemake and doit were weighed for this, and are no shorter:
DVC 3.67 brings 69 packages and by default removes an output before it makes it anew, so that no training resumes;
Snakemake 9.27 brings 33, goes by times for files above a megabyte and asks for `--unlock` after a kill; doit 0.37
brings none, but writes its state when a run ends, so that a kill loses all of it, and knows files only, no folders.
"""

import datetime
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from safe_llava.files import read_json, write_json
from safe_llava.version import __version__

from .file_digests import FileDigests, Files


@dataclass(frozen=True)
class Step:
    """
    A command line with what it reads and writes.

    Args:
        name (`str`): its name.
        about (`str`): what it does.
        command (`list[str]`): the command line.
        inputs (`tuple[Files, ...]`): what it reads.
        outputs (`tuple[Files, ...]`): what is there when it has ended well.
        values (`dict`, *optional*): what counts beside the inputs. Defaults to the command line.
        folder (`Path`, *optional*): the folder that it alone writes, which is cleared where it starts anew.
        goes_on (`bool`, *optional*, defaults to `False`):
            Whether the command goes on with what a killed run of it left in `folder`.
        resume_option (`str`, *optional*): option that names the last whole checkpoint in `folder`.
        accepted_codes (`tuple[int, ...]`, *optional*, defaults to `(0,)`): exit codes of a command that ended well.
    """

    name: str
    about: str
    command: list[str]
    inputs: tuple[Files, ...]
    outputs: tuple[Files, ...]
    values: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    goes_on: bool = False
    resume_option: str | None = None
    accepted_codes: tuple[int, ...] = (0,)

    def needs(self, other: "Step") -> bool:
        """Whether it reads what another step writes."""
        return any(read.touches(written) for read in self.inputs for written in other.outputs)


@dataclass(frozen=True)
class State:
    """Whether a step is done, and if not why it has to run."""

    name: Literal["done", "to do", "half done", "stale"]
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}" if self.reason else self.name


_MADE_FROM = ("version", "values", "inputs")


class StepRecords:
    """
    The records of a reproduction.

    Args:
        output_dir (`Path`): the folder of the reproduction.
    """

    def __init__(self, output_dir: Path):
        self.output_dir = output_dir
        self.folder = output_dir / ".reproduce"
        self.digests = FileDigests(self.folder / "digests.json")

    def states(self, steps: Sequence[Step]) -> dict[str, State]:
        """The state of each step, as a run of them in this order would find it."""
        states: dict[str, State] = {}
        for step in steps:
            behind = [other.name for other in steps if states.get(other.name, State("done")).name != "done"]
            needed = [other.name for other in steps if other.name in behind and step.needs(other)]
            states[step.name] = self._state_behind(step, needed[-1]) if needed else self.state(step)
        return states

    def state(self, step: Step) -> State:
        """The state of a step whose inputs are there."""
        record = self._read(step)
        if record is None:
            return State("to do")
        made_from = self._describe(step)
        changed = _changed(record, made_from)
        if not record["done"]:
            return State("to do", f"begun, but then {changed}") if changed else State("half done")
        if changed:
            return State("stale", changed)
        for files in step.outputs:
            if self.digests.digest(files) != record["outputs"].get(str(files.path)):
                return State("stale", f"{files.path} is not as this step left it")
        return State("done")

    def start(self, step: Step) -> list[str]:
        """
        Makes room for a step and records that its output is not whole.

        Returns:
            `list[str]`: the command line, with the checkpoint to go on from where there is one.

        Raises:
            ValueError: if its folder holds what no step of ours has written.
        """
        record, made_from = self._read(step), self._describe(step)
        goes_on = step.goes_on and record is not None and not record["done"] and not _changed(record, made_from)
        if step.folder is not None:
            for left in step.folder.parent.glob(f".{step.folder.name}-*"):  # what a killed `convert` had not moved yet
                shutil.rmtree(left)
            if not goes_on:
                _clear(step, step.folder, record)
        self._write(step, made_from, done=False, outputs={})
        checkpoint = last_checkpoint(step.folder) if goes_on and step.resume_option and step.folder else None
        self.log(step, "starts" if checkpoint is None else f"goes on from {checkpoint.name}")
        return [*step.command, *([] if checkpoint is None else [str(step.resume_option), str(checkpoint)])]

    def finish(self, step: Step) -> None:
        """
        Records that a step has ended well, made from what was there when it started.

        Raises:
            FileNotFoundError: if an output of it is not there.
        """
        outputs = {str(files.path): self.digests.digest(files) for files in step.outputs}
        if missing := [path for path, digest in outputs.items() if digest is None]:
            raise FileNotFoundError(f"{step.name} has ended, but {', '.join(missing)} is not there.")
        made_from = {name: self._read(step)[name] for name in _MADE_FROM}
        self._write(step, made_from, done=True, outputs=outputs)
        self.log(step, "done")

    def accept(self, step: Step) -> None:
        """Records that a step was run by hand, on what is there now. Raises as `finish`."""
        self._write(step, self._describe(step), done=False, outputs={})
        self.finish(step)

    def log(self, step: Step, what: str) -> None:
        """Adds a line to `steps.log`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        with (self.output_dir / "steps.log").open("a", encoding="utf-8") as file:
            file.write(f"{now} {step.name} {what}\n")

    def _state_behind(self, step: Step, needed: str) -> State:
        record = self._read(step)
        return State("stale" if record and record["done"] else "to do", f"behind {needed}")

    def _describe(self, step: Step) -> dict[str, Any]:
        return {
            "version": __version__,
            "values": json.loads(json.dumps(step.values or {"command": step.command})),
            "inputs": {str(files.path): self.digests.digest(files) for files in step.inputs},
        }

    def _read(self, step: Step) -> Any:
        return read_json(self.folder / f"{step.name}.json")

    def _write(self, step: Step, made_from: dict[str, Any], done: bool, outputs: dict[str, str | None]) -> None:
        write_json(self.folder / f"{step.name}.json", {**made_from, "done": done, "outputs": outputs})


def _clear(step: Step, folder: Path, record: dict[str, Any] | None) -> None:
    """A finished output is kept beside, for it may have taken days; a half-written one goes."""
    if not folder.exists():
        return
    if record is None and any(folder.iterdir()):
        raise ValueError(
            f"{folder} is there, but no step has written it. If you ran this step's command yourself, say so with "
            f"`--done {step.name}`; otherwise move the folder away."
        )
    before = folder.with_name(f"{folder.name}.before")
    if record is not None and record["done"]:
        shutil.rmtree(before, ignore_errors=True)
        folder.rename(before)
    else:
        shutil.rmtree(folder)


def last_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint of a training that is whole: the trainer's state is written last."""
    whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _changed(record: dict[str, Any], made_from: dict[str, Any]) -> str:
    """What differs from the record, in words."""
    if record["version"] != made_from["version"]:
        return f"safe-llava {record['version']} has become {made_from['version']}"
    for kind in ("values", "inputs"):
        kept, now = record[kind], made_from[kind]
        if changed := [name for name in {**kept, **now} if kept.get(name) != now.get(name)]:
            return f"{', '.join(changed)} {'has' if len(changed) == 1 else 'have'} changed"
    return ""
