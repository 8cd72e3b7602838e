"""Exported guards of tiny models, each traced and written once."""

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from filelock import FileLock
from typer.testing import CliRunner

from safe_llava.calibration import fit_familiarity
from safe_llava.cli import app
from safe_llava.export import run_export
from safe_llava.models.safety_trust import record_training
from tests.conftest import build_tokenizer
from tests.family_members import MEMBERS, add_safety, build_processor, build_stock


POLICY = {"temperature": {"type": 0.5}, "actions": {"high": "refuse"}}
FAMILY = ["llava", *(pytest.param(name, marks=pytest.mark.own_logic) for name in MEMBERS)]


class Exported(NamedTuple):
    """A checkpoint, the folder beside the ONNX file that was made of it, and the saved graph on the way there."""

    checkpoint: Path
    folder: Path
    program: Path


def build_guarded(kind: str, **fields: Any) -> tuple[Any, Any]:
    """A tiny member of the family and its processor, with a projector of one layer."""
    tokenizer = build_tokenizer()
    model = add_safety(build_stock(kind, tokenizer), safety_projector_type="mlp", **fields)
    processor = build_processor(kind, tokenizer)
    model.set_safety_policy(POLICY, processor)
    record_training(model)
    return model, processor


@pytest.fixture(scope="session")
def export(tiny_safe_llava, tiny_processor, noise_rows, tmp_path_factory) -> Callable[[str], Exported]:
    """
    `export(kind)` is what `safe-llava export` leaves of a tiny model of that kind, under a name of no module; written
    once for all processes that share the tests, since tracing takes long.
    """
    place = tmp_path_factory.getbasetemp()
    place = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place

    def export(kind: str) -> Exported:
        made = Exported(place / kind / "checkpoint", place / kind / "my-guard", place / kind / "program.pt2")
        with FileLock(place / f"{kind}.lock"):
            if not made.program.exists():
                write(kind, made)
        return made

    def write(kind: str, made: Exported) -> None:
        model, processor = copy.deepcopy(tiny_safe_llava), tiny_processor
        if kind != "llava":
            # What differs between the members is before the projector, whose blocks take long to trace.
            model, processor = build_guarded(kind)
        else:
            fit_familiarity(model, processor, noise_rows, share=0.9)
        model.set_safety_policy(POLICY, processor)
        model.save_pretrained(made.checkpoint)
        processor.save_pretrained(made.checkpoint)
        programs: list[Any] = []
        with pytest.MonkeyPatch.context() as patch:
            trace = run_export.trace
            patch.setattr(run_export, "trace", lambda *given: programs.append(trace(*given)) or programs[0])
            onnx_file = made.folder.with_suffix(".onnx")
            result = CliRunner().invoke(app, ["export", str(made.checkpoint), str(onnx_file), "--scenes", "24"])
        assert result.exit_code == 0, result.output
        torch.export.save(programs[0], made.program)

    return export


@pytest.fixture(scope="session")
def exported(export) -> Path:
    """The folder of the tiny LLaVA-1.5."""
    return export("llava").folder


@pytest.fixture(scope="session")
def checkpoint(export) -> Path:
    """The checkpoint that it was made of."""
    return export("llava").checkpoint


@pytest.fixture(scope="session")
def samples(make_image) -> list:
    """Images of several shapes, none to three in a sample, with and without a question, as dictionaries and chats."""
    images = [make_image(number).resize(size) for number, size in enumerate([(40, 40), (90, 30), (31, 77)] * 3)]
    texts = ["Who is this?", None, "What <image> is </s> in here?", "a " * 30]
    dictionaries = [
        {"images": images[number : number + 1 + number % 3], **({} if text is None else {"text": text})}
        for number, text in enumerate([*texts, *texts[:2]])
    ]
    chat = [{"role": "system", "content": [{"type": "text", "text": "Be kind."}]}]
    chat += [{"role": "user", "content": [{"type": "image", "image": images[0]}, {"type": "text", "text": "Who?"}]}]
    return [*dictionaries, images[1], {"text": "Who is nobody?"}, chat]
