"""Exported guards of tiny models, each traced and written once."""

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from safe_llava.cli import app
from safe_llava.export import run_export
from safe_llava.models.safety_trust import record_training
from tests.conftest import build_tokenizer
from tests.family_members import MEMBERS, add_safety, build_processor, build_stock


POLICY = {"temperature": {"type": 0.5}, "actions": {"high": "refuse"}}
FAMILY = ["llava", *(pytest.param(name, marks=pytest.mark.own_logic) for name in MEMBERS)]


class Exported(NamedTuple):
    """A checkpoint, the folder beside the ONNX file that was made of it, and the graph on the way there."""

    checkpoint: Path
    folder: Path
    program: Any


def build_guarded(kind: str) -> tuple[Any, Any]:
    """A tiny member of the family and its processor, with a projector of one layer."""
    tokenizer = build_tokenizer()
    model = add_safety(build_stock(kind, tokenizer), safety_projector_type="mlp")
    processor = build_processor(kind, tokenizer)
    model.set_safety_policy(POLICY, processor)
    record_training(model)
    return model, processor


@pytest.fixture(scope="session")
def export(tiny_safe_llava, tiny_processor, tmp_path_factory) -> Callable[[str], Exported]:
    """`export(kind)` is what `safe-llava export` leaves of a tiny model of that kind, under a name of no module."""

    @cache
    def export(kind: str) -> Exported:
        model, processor = copy.deepcopy(tiny_safe_llava), tiny_processor
        if kind != "llava":
            # What differs between the members is before the projector, whose blocks take long to trace.
            model, processor = build_guarded(kind)
        model.set_safety_policy(POLICY, processor)
        checkpoint, path = tmp_path_factory.mktemp("checkpoint"), tmp_path_factory.mktemp(kind) / "my-guard.onnx"
        model.save_pretrained(checkpoint)
        processor.save_pretrained(checkpoint)
        programs: list[Any] = []
        with pytest.MonkeyPatch.context() as patch:
            trace = run_export.trace
            patch.setattr(run_export, "trace", lambda *given: programs.append(trace(*given)) or programs[0])
            result = CliRunner().invoke(app, ["export", str(checkpoint), str(path), "--scenes", "24"])
        assert result.exit_code == 0, result.output
        return Exported(checkpoint, path.with_suffix(""), programs[0])

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
