"""A cell may be calibrated as a user would calibrate its model."""

import copy
from dataclasses import replace

from datasets import Dataset, Features, Image, List, Value

from recipes.study.calibrated import calibrate_model
from recipes.study.miniature_study import MINIATURE_STUDY


def test_a_model_gets_the_policy_that_is_fitted_to_its_own_validation_rows(
    tiny_safe_llava, tiny_processor, make_image
):
    asked = []

    def build_dataset(split: str, num_rows: int) -> Dataset:
        asked.append(split)
        rows = [
            {
                "messages": [{"role": "user", "content": f"What is in picture {number}?"}],
                "images": [make_image(number)],
                "safety_level": number % 4,
                "safety_type": 6 if number % 4 == 0 else number % 6,
            }
            for number in range(num_rows)
        ]
        turns = List({"role": Value("string"), "content": Value("string")})
        labels = {"safety_level": Value("int64"), "safety_type": Value("int64")}
        return Dataset.from_list(rows, features=Features({"messages": turns, "images": List(Image()), **labels}))

    study = replace(MINIATURE_STUDY, world=replace(MINIATURE_STUDY.world, build_dataset=build_dataset))
    model = copy.deepcopy(tiny_safe_llava)
    how = {"target_over_refusal": 0.2, "fit_level_threshold": True, "min_examples": 4}
    derived = calibrate_model(study, model, tiny_processor, num_rows=48, **how)
    assert asked == ["validation"] and derived["rows"] == 48
    policy = model.safety_policy
    assert policy.level_threshold == derived["level_threshold"] is not None
    assert policy.temperature == derived["temperature"]
    assert {name: rule["threshold"] for name, rule in policy.types.items()} == derived["thresholds"]
