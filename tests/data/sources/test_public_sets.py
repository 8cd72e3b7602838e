"""Every public set loads by its name from its published files, with honest labels; trains; and is audited."""

import copy
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from published_sets import WRITERS
from trl import SFTConfig

from safe_llava.audit.run_audit import run_audit
from safe_llava.audit.sources import SourceSpec, open_source, prepare_source
from safe_llava.data import load_safety_dataset
from safe_llava.data.sources import PUBLIC_SETS
from safe_llava.models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from safe_llava.training import SafeSFTTrainer, train_only_safety_modules


RISKY_TYPES = SAFETY_TYPES[:-1]
RISKY_LEVELS = SAFETY_LEVELS[1:]
SAFE = (("none",), ("safe",))
LABELS: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "psa": [SAFE, (("high",), ("privacy",)), (("high",), ("privacy",))],
    "vlguard": [(RISKY_LEVELS, ("privacy",)), (RISKY_LEVELS, RISKY_TYPES), SAFE],
    "spa-vl": [(RISKY_LEVELS, RISKY_TYPES)] * 4,
    "beavertails-v": [
        (RISKY_LEVELS, (kind,)) for kind in ("illegal_risk", "misleading", "privacy") for _ in ("safe", "unsafe")
    ],
    "llavaguard": [SAFE, (RISKY_LEVELS, ("insults_bullying", "fairness"))],
    "safeatlas-vl": [SAFE, (("low", "medium"), RISKY_TYPES), (("high",), RISKY_TYPES)],
    "meerkat-safe": [(RISKY_LEVELS, RISKY_TYPES)] * 3,
    "llava-instruct": [SAFE] * 4,
}
"""The possible levels and types of each row of the stand-ins, RTVLM's apart."""


@pytest.fixture(scope="module")
def loaded(roots) -> dict[str, Any]:
    return {name: load_safety_dataset(name, root)[0] for name, root in roots.items()}


def possible(row: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    levels = row.get("possible_levels") or [row["safety_level"]]
    types = row.get("possible_types") or [row["safety_type"]]
    return tuple(SAFETY_LEVELS[index] for index in levels), tuple(SAFETY_TYPES[index] for index in types)


def question_of(row: dict[str, Any]) -> str:
    return " ".join(part["text"] for part in row["messages"][0]["content"] if part["type"] == "text")


def test_every_public_set_has_a_stand_in():
    assert WRITERS.keys() == PUBLIC_SETS.keys()


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_what_the_files_say_and_no_more(name, loaded):
    assert [possible(row) for row in loaded[name]] == LABELS[name]


def test_labels_of_rtvlm_are_those_of_its_subtasks(loaded):
    found = {(question_of(row), *possible(row)) for row in loaded["rtvlm"]}
    assert found == {
        ("Is it blue ?", *SAFE),
        ("Why ?", RISKY_LEVELS, ("misleading",)),
        ("Read it .", RISKY_LEVELS, RISKY_TYPES),
        ("Follow the image .", RISKY_LEVELS, RISKY_TYPES),
        ("What story is this ?", RISKY_LEVELS, ("fairness",)),
        ("What story is this ?", RISKY_LEVELS, ("privacy",)),
        ("What story is this ?", RISKY_LEVELS, ("politics",)),
        ("Whose flag ?", *SAFE),
    }


@pytest.mark.parametrize("name", WRITERS)
def test_every_row_has_its_question_and_only_safe_answers_are_learned(name, loaded):
    assert all(question_of(row) for row in loaded[name])
    answers = chain.from_iterable(row["messages"][1:2] for row in loaded[name])
    assert not {"Bad .", "-"} & {part["text"] for answer in answers for part in answer["content"]}
    assert [row["messages"][-1]["role"] == "user" for row in loaded[name]] == [
        bool(row.get("head_only")) for row in loaded[name]
    ]


@pytest.mark.parametrize("name", WRITERS)
def test_every_image_is_there(name, loaded):
    numbers = [len(row["images"]) for row in loaded[name]]
    assert numbers == [sum(part["type"] == "image" for part in row["messages"][0]["content"]) for row in loaded[name]]


def test_an_annotation_gets_the_image_that_it_names(loaded):
    colours = [row["images"][0].getpixel((0, 0))[0] for row in loaded["safeatlas-vl"]]
    assert colours == [5, 0, 5]


@pytest.mark.parametrize("name", WRITERS)
def test_two_steps_train_on_it(name, loaded, tiny_safe_llava, tiny_processor, tmp_path):
    model = copy.deepcopy(tiny_safe_llava)
    train_only_safety_modules(model)
    before = [weight.clone() for weight in model.model.safety_modules.parameters()]
    args = SFTConfig(
        output_dir=str(tmp_path),
        max_length=None,
        max_steps=2,
        per_device_train_batch_size=2,
        learning_rate=1e-3,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        disable_tqdm=True,
    )
    rows = loaded[name].select(range(min(len(loaded[name]), 4)))
    trainer = SafeSFTTrainer(model, args, rows, copy.deepcopy(tiny_processor), held_out_dataset=rows)
    trainer.train()
    losses = [entry["safety_loss"] for entry in trainer.state.log_history if "safety_loss" in entry]
    assert len(losses) == 2 and all(torch.tensor(losses) > 0)
    assert any(not torch.equal(old, new) for old, new in zip(before, model.model.safety_modules.parameters()))


def audit_rows(name: str, root: Path, folder: Path) -> list[Any]:
    spec, manifest = SourceSpec(name, root=str(root)), folder / "manifest.parquet"
    prepare_source(spec, folder, manifest, 100)
    return list(open_source(spec, folder, manifest, 100).rows(0))


@pytest.mark.parametrize("name", WRITERS)
def test_an_audit_asks_every_row_its_question(name, roots, loaded, tmp_path):
    rows = audit_rows(name, roots[name], tmp_path)
    assert [row.problem for row in rows] == [None] * len(rows)
    assert {question_of(row) for row in loaded[name]} <= {row.text for row in rows}
    # What a rule leaves out of training is audited too.
    assert len(rows) == len(loaded[name]) + (name in ("llavaguard", "safeatlas-vl"))


def test_a_text_only_row_is_no_row_without_its_image_in_an_audit(roots, tmp_path):
    assert [len(row.images) for row in audit_rows("llava-instruct", roots["llava-instruct"], tmp_path)] == [1, 1, 1, 0]


def test_an_audit_of_a_named_set_ends_with_a_verdict_for_every_row(roots, tiny_safe_llava, tiny_processor, tmp_path):
    tiny_safe_llava.save_pretrained(tmp_path / "guard")
    tiny_processor.save_pretrained(tmp_path / "guard")
    spec = SourceSpec("vlguard", root=str(roots["vlguard"]))
    outcome = run_audit(spec, str(tmp_path / "guard"), tmp_path / "audit", device="cpu", batch_size=2, workers=1)
    assert (outcome.summary["rows"], outcome.summary["unreadable"]) == (3, 0)
