"""A reproduction's file is checked to its last key before anything runs."""

import inspect
from pathlib import Path

import pytest
import yaml
from reproduce.conftest import ROOT

from recipes.reproduce.reproduction_config import SET_BY_US, read_reproduction
from recipes.reproduce.training_recipes import recipe_of, write_recipes


FILES = sorted((ROOT / "recipes" / "reproduce").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_files_of_the_repository_can_be_read(path, clone):
    whole = read_reproduction(path)
    write_recipes(whole)
    recipe = yaml.safe_load(Path(whole.output_dir, "recipes", "stage1.yaml").read_text())
    assert recipe == recipe_of(whole, 1)


@pytest.mark.parametrize("shape", ["7b", "13b"])
@pytest.mark.parametrize("number", [1, 2])
def test_the_large_models_train_as_their_recipes_say(shape, number, clone):
    whole = read_reproduction(ROOT / "recipes" / "reproduce" / f"llava-1.5-{shape}.yaml")
    stated = yaml.safe_load((ROOT / "recipes" / f"llava-1.5-{shape}" / f"stage{number}.yaml").read_text())
    found = recipe_of(whole, number)
    assert {name for name in stated if found.get(name) != stated[name]} == {
        "model_name_or_path",
        "output_dir",
        "dataset_name",
        "image_folder",
    }


PLACES = {
    "the file": (),
    "a set": ("sets", "psa"),
    "a stage": ("stage1",),
    "convert": ("convert",),
    "calibrate": ("calibrate",),
    "evaluate": ("evaluate",),
}


@pytest.mark.parametrize("place", PLACES)
def test_an_unknown_key_is_named_with_those_that_are_allowed(place, fields, write_config):
    found = fields
    for key in PLACES[place]:
        found = found[key]
    known = next(iter(found))
    found["lerning_rate"] = 1
    with pytest.raises(ValueError, match=rf"no key 'lerning_rate'; there are .*{known}"):
        read_reproduction(write_config())


@pytest.mark.parametrize("command", SET_BY_US, ids=lambda command: command.__name__)
def test_an_option_that_other_fields_set_is_none_here(command, fields, write_config):
    assert SET_BY_US[command] <= inspect.signature(command).parameters.keys()
    fields[command.__name__]["seed" if command.__name__ == "convert" else "device"] = "cpu"
    with pytest.raises(ValueError, match="no key"):
        read_reproduction(write_config())


def test_an_unknown_field_of_a_stage_is_named_with_those_that_are_allowed(fields, write_config):
    fields["stage2"]["fields"]["lerning_rate"] = 1
    with pytest.raises(ValueError, match=r"stage2 has no field 'lerning_rate'; there are .*learning_rate"):
        write_recipes(read_reproduction(write_config()))


@pytest.mark.parametrize("key", ["output_dir", "base", "sets", "stage1", "stage2", "calibrate", "evaluate"])
def test_a_missing_key_is_named(key, fields, write_config):
    del fields[key]
    with pytest.raises(ValueError, match=f"lacks .*{key}"):
        read_reproduction(write_config())


WRONG = {"seed": "one", "gpus": True, "stage1": [], "sets": ["vlguard"], "convert": None, "assumed_tflops": "fast"}


@pytest.mark.parametrize("key", WRONG)
def test_a_value_of_another_type_is_named(key, fields, write_config):
    fields[key] = WRONG[key]
    with pytest.raises(ValueError, match=key):
        read_reproduction(write_config())


def test_a_file_says_what_it_has_unlike_another(fields, write_config, clone):
    like = write_config("like.yaml")
    (clone / "other.yaml").write_text(f"like: {like}\nseed: 3\nstage1: {{rows: 4}}\n")
    first, other = read_reproduction(like), read_reproduction(clone / "other.yaml")
    assert (other.seed, other.stage1.rows, other.stage1.recipe) == (3, 4, first.stage1.recipe)
    assert other.stage2 == first.stage2
