"""The world of drawings as one to train in: which files it needs, and which rows a recipe gets."""

import pytest
from datasets import Dataset

from safe_llava.models.safety_labels import SAFE_TYPE_ID
from safe_llava.smol import training_rows
from safe_llava.smol.concepts import read_concepts
from safe_llava.smol.smol_world import smol_world
from safe_llava.smol.training_rows import draw_training_rows
from safe_llava.smol.world_dataset import draw_dataset
from safe_llava.smol.world_rows import sample_rows


@pytest.fixture(scope="module")
def world(smol_folder):
    return smol_world(smol_folder)


def test_a_folder_without_a_finished_build_is_refused_with_what_is_missing_and_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json and .*drawings\.parquet.*python -m recipes\.smol"):
        smol_world(tmp_path)


def test_a_recipe_gets_rows_of_its_stage(world, tmp_path):
    fields = world.name_rows(world.recipe("stage1"), {"max_train_samples": 8, "seed": 3}, tmp_path)
    rows = Dataset.from_parquet(str(fields.pop("dataset_name")))
    assert fields == {"max_train_samples": 8, "seed": 3}
    assert len(rows) == 8
    asked = [messages[0] for messages in world.build_dataset("train", 8, stage="stage1")["messages"]]
    assert [messages[0] for messages in rows["messages"]] == asked


@pytest.fixture
def one_of_eight(monkeypatch):
    monkeypatch.setattr(training_rows, "ROWS_PER_ANSWER", 8)


def test_few_rows_of_stage_1_have_their_answer_and_the_others_are_for_the_head(drawings, one_of_eight):
    rows = draw_training_rows(drawings["train"], "stage1", 24)
    assert rows["head_only"][:] == [place % 8 != 0 for place in range(24)]
    assert [messages[-1]["role"] == "user" for messages in rows["messages"]] == rows["head_only"][:]


def test_rows_for_the_head_show_changed_drawings_with_the_same_labels(drawings, one_of_eight):
    shown = draw_training_rows(drawings["train"], "stage1", 24)
    plain = draw_dataset(sample_rows(drawings["train"], 24, stage="stage1"))
    assert shown["safety_level"][:] == plain["safety_level"][:]
    alike = [one["images"] == other["images"] for one, other in zip(shown, plain)]
    assert alike == [not row["head_only"] or not row["images"] for row in shown]


def test_the_answered_rows_of_stage_1_can_be_had_alone(drawings, one_of_eight):
    answered = draw_training_rows(drawings["train"], "stage1_answered", 3)
    whole = draw_training_rows(drawings["train"], "stage1", 24).filter(lambda row: not row["head_only"])
    assert answered["messages"][:] == whole["messages"][:]


def test_a_recipe_may_name_the_rows_of_another_stage(world, tmp_path):
    overruled = {"max_train_samples": 8, "dataset_config": "stage1"}
    named = world.name_rows(world.recipe("stage2"), overruled, tmp_path)
    assert named.keys() == {"max_train_samples", "dataset_name"}
    assert named == world.name_rows(world.recipe("stage1"), {"max_train_samples": 8}, tmp_path)


def test_rows_that_are_there_are_not_drawn_again(world, tmp_path):
    (tmp_path / "stage2-8.parquet").touch()
    assert world.name_rows(world.recipe("stage2"), {"max_train_samples": 8}, tmp_path)
    assert (tmp_path / "stage2-8.parquet").stat().st_size == 0


def test_weak_labels_tell_what_is_shown_and_not_what_is_asked(drawings):
    truth = draw_training_rows(drawings["train"], "stage1", 100)
    weak = draw_training_rows(drawings["train"], "stage1_weak", 100)
    assert weak["messages"][:] == truth["messages"][:]
    levels = {concept.name: concept.level for concept in read_concepts().concepts.values()}
    for row, known in zip(weak, truth):
        shown = max((levels[name] for name in row["concepts"]), default=known["safety_level"])
        assert row["safety_level"] == shown
        assert (row["safety_type"] == SAFE_TYPE_ID) == (shown == 0)
    assert weak["safety_level"][:] != truth["safety_level"][:]
