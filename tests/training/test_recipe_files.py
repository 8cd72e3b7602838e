"""The YAML files that come with the recipe script."""

from pathlib import Path

import pytest
import yaml
from trl import ModelConfig, SFTConfig, TrlParser, get_peft_config

from recipes.train import SafetyArguments, check_arguments


RECIPES = Path(__file__).parents[2] / "recipes"
YAML_FILES = sorted(RECIPES.glob("*/stage?.yaml"))


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_stage_file_parses_and_is_consistent(path):
    fields = yaml.safe_load(path.read_text())
    parser = TrlParser((SafetyArguments, SFTConfig, ModelConfig))
    safety_args, training_args, model_args = parser.parse_args_and_config(
        ["--config", str(path), "--bf16", "false", "--output_dir", "unused"]
    )
    check_arguments(safety_args, training_args, model_args)
    peft_config = get_peft_config(model_args)
    assert (peft_config is not None) == (fields["stage"] == 2)
    assert peft_config is None or peft_config.task_type is None


def test_the_papers_form_has_no_hints_in_training_and_mostly_risky_pairs_first():
    stage1, stage2 = (yaml.safe_load((RECIPES / "paper" / f"stage{stage}.yaml").read_text()) for stage in (1, 2))
    assert stage1["clean_to_risky"] == 0.27
    assert "hints_in_prompts" not in stage2


@pytest.mark.parametrize("folder", sorted(path.name for path in RECIPES.glob("llava-*")))
def test_the_large_recipes_have_the_papers_figures(folder):
    stages = [yaml.safe_load((RECIPES / folder / f"stage{stage}.yaml").read_text()) for stage in (1, 2)]
    for fields, warmup_steps in zip(stages, (20, 300)):
        assert fields["learning_rate"] == 1e-5
        assert (fields["num_train_epochs"], fields["warmup_steps"]) == (3, warmup_steps)
        assert fields["total_batch_size"] == 128
    assert [stages[1][f"lora_{name}"] for name in ("r", "alpha", "dropout")] == [256, 16, 0.05]
