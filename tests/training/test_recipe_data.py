"""What a recipe trains on, of one set and of several."""

import json

import pytest
import yaml
from set_rows import encode, make_image, make_set

from recipes.train import SafetyArguments
from safe_llava.training.recipe_data import check_recipe, describe_sets, load_train_rows
from tests.data.sources.published_sets import write_meerkat_safe, write_vlguard


SCENES = {"name": "miniature", "max_samples": 6, "config_name": "stage1"}


NEEDS_AUDIT = "benchmarks are looked for by perceptual hashes: the extra `audit`"


@pytest.fixture
def saved(tmp_path):
    """The folder of a set of four rows: two with the same image and question, and one that stands in a benchmark."""
    rows = [{"images": [1]}, {"images": [1], "level": 3, "type": 4}, {"images": [2]}, {"images": [3], "level": 2}]
    rows[-1]["type"] = 4
    make_set(*rows).save_to_disk(tmp_path / "saved")
    return str(tmp_path / "saved")


@pytest.fixture
def benchmark(tmp_path):
    """A folder of SIUO's form with one row."""
    pytest.importorskip("imagehash", reason=NEEDS_AUDIT)
    (tmp_path / "siuo" / "images").mkdir(parents=True)
    (tmp_path / "siuo" / "images" / "S-01.png").write_bytes(encode(make_image(3)))
    row = {"question_id": 1, "image": "S-01.png", "question": "What ?", "category": "morality"}
    (tmp_path / "siuo" / "siuo_gen.json").write_text(json.dumps([row]))
    return {"siuo": str(tmp_path / "siuo")}


def load(stage=1, seed=0, **fields):
    return load_train_rows(SafetyArguments(stage=stage, **fields), stage, seed)


def test_several_sets_are_mixed_and_each_row_says_whence_it_comes(saved, benchmark):
    dataset, report = load(datasets=[{"name": saved}, SCENES], benchmarks=benchmark)
    assert [(one.read, one.leaks, one.duplicates, one.used) for one in report.sets] == [(4, 1, 1, 2), (6, 0, 0, 6)]
    assert dataset["source"] == [saved] * 2 + ["miniature"] * 6
    assert len(report.contradictions) == 1


def test_ratio_and_balance_work_on_the_mix(saved):
    dataset, report = load(datasets=[{"name": saved}, SCENES], clean_to_risky=1.0)
    levels = dataset["safety_level"]
    assert sum(level == 0 for level in levels) == sum(level > 0 for level in levels)
    assert sum(report.in_epoch.values()) == len(dataset)
    assert set(report.in_epoch) <= {saved, "miniature"}


def test_the_same_seed_gives_the_same_mix(saved):
    sets = [{"name": saved, "share": 0.5}, {**SCENES, "share": 0.5}]
    assert load(datasets=sets)[0]["messages"] == load(datasets=sets)[0]["messages"]


def test_scenes_are_those_of_the_stage_unless_a_set_says_otherwise():
    default, named = (load(2, datasets=[{**SCENES, "config_name": name}])[0] for name in (None, "stage1"))
    assert default["messages"] != named["messages"] == load(1, datasets=[SCENES])[0]["messages"]


def test_one_set_alone_is_taken_as_it_is(saved):
    dataset, report = load(dataset_name=saved)
    assert len(dataset) == 4
    assert report.duplicates is None
    assert describe_sets(report) == saved


def test_a_benchmark_is_kept_out_of_one_set_too(saved, benchmark):
    dataset, report = load(dataset_name=saved, benchmarks=benchmark)
    assert (len(dataset), report.sets[0].leaks, report.leaks[0].image_and_question) == (3, 1, 1)


def test_a_card_has_the_rows_of_each_set_and_what_was_kept_out(saved, benchmark):
    _, report = load(datasets=[{"name": saved}, SCENES], benchmarks=benchmark)
    assert describe_sets(report) == f"{saved} (2 rows), synthetic scenes (6 rows); 1 row left out that stand in siuo"


def test_json_and_yaml_say_the_same(saved):
    text = f'[{{"name": "{saved}"}}]'
    assert SafetyArguments(stage=1, datasets=text) == SafetyArguments(stage=1, datasets=[{"name": saved}])


@pytest.mark.parametrize(
    ("paths", "named"),
    [
        ({"vlgard": "."}, "vlgard.*vlguard"),
        ({"siuo": "nowhere"}, "nowhere"),
        ({"siuo": 3}, "paths"),
        (["siuo"], "paths"),
    ],
)
def test_a_benchmark_that_is_none_is_refused_before_anything_is_read(paths, named):
    with pytest.raises(ValueError, match=named):
        load(dataset_name="nowhere.json", benchmarks=paths)


def test_a_benchmark_may_be_named_with_its_split(saved, tmp_path):
    pytest.importorskip("imagehash", reason=NEEDS_AUDIT)
    table = "id,prompt,type,label,focus,note\n1,Hello ?,homonyms,safe,,\n2,What ?,contrast_homonyms,unsafe,,\n"
    (tmp_path / "xstest_prompts.csv").write_text(table)
    _, report = load(dataset_name=saved, benchmarks={"xstest:safe": str(tmp_path)})
    assert [(leak.benchmark, leak.test_rows, leak.question) for leak in report.leaks] == [("xstest-safe", 1, 0)]
    with pytest.raises(ValueError, match="4 in a benchmark"):
        load(dataset_name=saved, benchmarks={"xstest:unsafe": str(tmp_path)})


@pytest.fixture
def write_recipe(tmp_path):
    def write(**fields):
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump({"stage": 1, "learning_rate": 1e-5, **fields}))
        return path

    return write


def test_a_recipe_is_checked_as_it_would_train(write_recipe, saved, benchmark):
    fields = {"datasets": [{"name": saved}, SCENES], "benchmarks": benchmark, "clean_to_risky": 1.0, "seed": 0}
    check = check_recipe(write_recipe(**fields))
    dataset, report = load(**{name: value for name, value in fields.items() if name != "seed"})
    assert check.report.to_dict() == report.to_dict()
    assert check.dataset["messages"] == dataset["messages"]


@pytest.mark.parametrize("on_bad_rows", ["raise", "skip"])
def test_broken_rows_are_counted_whatever_the_recipe_does_with_them(on_bad_rows, write_recipe, tmp_path):
    make_set({}, {"level": 3, "type": 6}).save_to_disk(tmp_path / "broken")
    fields = {"dataset_name": str(tmp_path / "broken"), "on_bad_rows": on_bad_rows}
    check = check_recipe(write_recipe(**fields))
    assert (check.num_rows, check.report.sets[0].bad, len(check.problems)) == (1, 1, 1)


def test_a_set_of_which_nothing_is_sound_does_not_hide_the_others(write_recipe, saved, tmp_path):
    make_set({"level": 3, "type": 6}).save_to_disk(tmp_path / "broken")
    check = check_recipe(write_recipe(datasets=[{"name": str(tmp_path / "broken")}, {"name": saved}]))
    assert {one.name: (one.bad, one.used) for one in check.report.sets} == {
        saved: (0, 3),
        str(tmp_path / "broken"): (1, 0),
    }


@pytest.mark.parametrize("text", ["[]", "stage: 3", "a: b"])
def test_a_file_that_is_no_recipe_is_refused(text, tmp_path):
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(ValueError, match="is no recipe"):
        check_recipe(tmp_path / "recipe.yaml")


def test_public_sets_are_mixed_with_others_and_keep_their_labels(saved, tmp_path):
    write_vlguard(tmp_path / "vlguard")
    sets = [{"name": "vlguard", "root": str(tmp_path / "vlguard")}, {"name": saved}]
    for stage in (1, 2):
        dataset, report = load(stage, datasets=sets)
        assert dataset["source"].count("vlguard") == report.sets[0].used > 0
        assert any(dataset["possible_levels"])


def test_rows_for_the_head_alone_train_stage_1_and_are_counted_out_of_stage_2(saved, tmp_path):
    write_meerkat_safe(tmp_path / "set")
    sets = [{"name": "meerkat-safe", "root": str(tmp_path / "set")}, {"name": saved}]
    dataset, report = load(1, datasets=sets)
    assert any(dataset["head_only"]) and report.sets[0].used
    with pytest.raises(ValueError, match="for stage 1"):
        load(2, datasets=sets)


@pytest.mark.parametrize("key", ["config_name", "unlabelled", "image_folder"])
def test_a_key_without_effect_on_a_public_set_is_named(key):
    with pytest.raises(ValueError, match=f"`{key}` of vlguard has no effect"):
        load(datasets=[{"name": "vlguard", key: "clean"}])


@pytest.mark.parametrize("key", ["root", "label_map"])
def test_a_key_for_public_sets_is_refused_on_others(key, saved):
    with pytest.raises(ValueError, match=f"`{key}` of .* has no effect"):
        load(datasets=[{"name": saved, key: "x"}])
