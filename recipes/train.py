"""Trains one stage of a SafeLLaVA. The same script serves every model; what differs stands in the YAML files here.

accelerate launch recipes/train.py --config recipes/llava-1.5-7b/stage1.yaml
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, set_seed
from transformers.trainer_utils import HubStrategy
from trl import ModelConfig, SFTConfig, TrlParser, get_peft_config, get_quantization_config

import safe_llava  # noqa: F401 (registers the model)
from safe_llava.data import add_hints, keep_answered, load_safety_dataset
from safe_llava.files import write_json
from safe_llava.miniature.scene_dataset import build_dataset
from safe_llava.model_card import write_model_card
from safe_llava.models.safety_configuration import SAFE_MODEL_TYPES
from safe_llava.training import (
    SafeSFTTrainer,
    SpareLastLayers,
    draw_vision_layers,
    merge_adapter,
    train_only_safety_modules,
)
from safe_llava.training.data_arguments import DataArguments
from safe_llava.training.output_folder import check_output_folder
from safe_llava.training.recipe_data import describe_sets, load_train_rows
from safe_llava.training.recipe_fields import MINIATURE, check_fields, options_of
from safe_llava.training.refusals import CACHE_OF_CHANGED_IMAGES
from safe_llava.training.stages import of_revision


@dataclass(kw_only=True)
class SafetyArguments(DataArguments):
    """What a stage needs beside trl's `SFTConfig` and `ModelConfig`."""

    stage: Literal[1, 2] = field(
        metadata={"help": "1 trains the safety modules; 2 trains LoRA on the language model."}
    )
    dataset_eval_split: str = field(default="validation", metadata={"help": "Split to evaluate on."})
    hints_in_prompts: bool = field(
        default=False,
        metadata={"help": "Put the policy's hint behind the question of every risky row, as inference does. Stage 2."},
    )
    max_eval_samples: int | None = field(
        default=None, metadata={"help": f"Evaluate on the first so many rows; '{MINIATURE}' draws so many."}
    )
    total_batch_size: int | None = field(
        default=None, metadata={"help": "Rows in a step over all processes; sets gradient_accumulation_steps."}
    )
    require_learned_head: bool = field(
        default=True,
        metadata={
            "help": "Whether stage 1 ends with an error where the head has not learned every class, by rows that were "
            "held out, and stage 2 refuses such a model. It is saved in any case, and its verdicts are not trusted."
        },
    )
    num_spared_layers: int = field(
        default=0,
        metadata={
            "help": "With `gradient_checkpointing`, so many of the language model's layers, the last ones, keep their "
            "activations and are not computed twice."
        },
    )
    vision_feature_cache: str | None = field(
        default=None,
        metadata={"help": "Folder that keeps the vision tower's features, so that it sees each image once."},
    )
    safety_feature_dropout: float | None = field(
        default=None,
        metadata={
            "help": "Share of the vision features that the safety projector does not see in a step; by default what "
            "the model's config says. Stage 1."
        },
    )
    robust: bool = field(
        default=False,
        metadata={
            "help": "Train the safety head against attacks: in a quarter of the rows images are damaged, in another "
            "quarter projected gradient steps move their pixels. Stage 1."
        },
    )
    random_vision_layers: bool = field(
        default=False,
        metadata={
            "help": "Read another layer of the vision tower, drawn for each image, while the language model trains. "
            "Stage 2, of a model without a safety head."
        },
    )
    merge_adapter: bool = field(
        default=False,
        metadata={"help": "After stage 2, save the merged model in output_dir and the adapter in output_dir/adapter."},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stage not in (1, 2):
            raise ValueError(f"`stage` must be 1 or 2, not {self.stage!r}.")


def main(argv: Sequence[str] | None = None) -> None:
    """
    Trains a stage and saves model, processor, configuration, metrics and trainer state in `output_dir`.

    Args:
        argv (`Sequence[str]`, *optional*): command line without the program's name. Defaults to the process's own.

    Raises:
        ValueError: if a field of the YAML file or of the command line is unknown, missing, or does not fit the others.
    """
    # trl sets and reads it by this name, which every supported transformers knows and the newest warn of.
    warnings.filterwarnings("ignore", message="`(is_)?gradient_checkpointing` is deprecated", category=FutureWarning)
    parser = TrlParser((SafetyArguments, SFTConfig, ModelConfig))
    safety_args, training_args, model_args = parser.parse_args_and_config(argv)
    check_arguments(safety_args, training_args, model_args)
    set_seed(training_args.seed)

    train_dataset, mix = load_train_rows(safety_args, safety_args.stage, training_args.seed)
    if training_args.process_index == 0:
        print(f"Training on\n{mix}")
    eval_dataset = load_evaluation(safety_args)
    model = load_model(model_args, training_args, safety_args.safety_feature_dropout)
    if safety_args.stage == 1:
        train_only_safety_modules(model)
    elif safety_args.require_learned_head and model.config.use_safety_head and model.config.safety_training is None:
        raise ValueError(
            f"`model_name_or_path`: {model_args.model_name_or_path} has no record of a finished stage 1. Run it first."
        )
    if safety_args.random_vision_layers:
        draw_vision_layers(model)
    if safety_args.hints_in_prompts and model.safety_policy is None:
        raise ValueError(
            f"`hints_in_prompts`: {model_args.model_name_or_path} has no safety policy to take hints from. "
            "Give it one with `model.set_safety_policy`, or leave hints out."
        )
    if safety_args.hints_in_prompts:
        train_dataset = add_hints(train_dataset, model.safety_policy.hints)
    trainer = SafeSFTTrainer(
        model,
        training_args,
        train_dataset,
        AutoProcessor.from_pretrained(model_args.model_name_or_path, revision=model_args.model_revision),
        eval_dataset=eval_dataset,
        held_out_dataset=load_held_out(safety_args),
        peft_config=of_revision(get_peft_config(model_args), model_args.model_revision),
        vision_feature_cache=safety_args.vision_feature_cache,
        robust=safety_args.robust,
        callbacks=[SpareLastLayers(safety_args.num_spared_layers)],
    )
    result = trainer.train(resume_from_checkpoint=training_args.resume_from_checkpoint)
    save(trainer, safety_args.merge_adapter)
    trainer.save_metrics("train", result.metrics)
    if eval_dataset is not None:
        trainer.save_metrics("eval", trainer.evaluate())
    trainer.save_state()
    data = describe_sets(mix)
    if trainer.is_world_process_zero():
        write_json(Path(training_args.output_dir) / "data.json", mix.to_dict())
    if safety_args.stage == 2 and not safety_args.merge_adapter:
        trainer.create_model_card(dataset_name=data)
    elif trainer.is_world_process_zero():
        write_model_card(training_args.output_dir, source=model_args.model_name_or_path, data=data)
    if training_args.push_to_hub:
        trainer.push_output_folder()
    trainer.accelerator.end_training()
    if trainer.unlearned and safety_args.require_learned_head:
        raise ValueError(
            f"Training has finished, and {training_args.output_dir} holds its model, but the safety head has not "
            f"learned: {'; '.join(trainer.unlearned)}. Its verdicts are not trusted. Train longer or on more labelled "
            "rows, or set `require_learned_head: false` for a trial run."
        )


def check_arguments(safety_args: SafetyArguments, training_args: SFTConfig, model_args: ModelConfig) -> None:
    """Sets what follows from other fields, and refuses fields that contradict each other."""
    if model_args.model_name_or_path is None:
        raise ValueError("`model_name_or_path` is missing. Name a SafeLLaVA, such as `safe-llava convert` writes.")
    if model_args.use_peft != (safety_args.stage == 2):
        raise ValueError(f"`use_peft` must be {safety_args.stage == 2} in stage {safety_args.stage}.")
    if safety_args.hints_in_prompts and safety_args.stage == 1:
        raise ValueError("`hints_in_prompts` is for stage 2; in stage 1 the safety head would read the verdict there.")
    if safety_args.safety_feature_dropout is not None and safety_args.stage == 2:
        raise ValueError("`safety_feature_dropout` is for stage 1; in stage 2 the safety projector does not train.")
    if safety_args.robust and safety_args.stage == 2:
        raise ValueError("`robust` is for stage 1; in stage 2 the safety head does not train.")
    if safety_args.robust and safety_args.vision_feature_cache is not None:
        raise ValueError(CACHE_OF_CHANGED_IMAGES)
    if safety_args.random_vision_layers and safety_args.stage == 1:
        raise ValueError("`random_vision_layers` is for stage 2; in stage 1 the head learns the layers that it reads.")
    if safety_args.random_vision_layers and safety_args.vision_feature_cache is not None:
        raise ValueError("`vision_feature_cache` keeps one layer's features. Remove it, or `random_vision_layers`.")
    if safety_args.merge_adapter and safety_args.stage == 1:
        raise ValueError("`merge_adapter` is for stage 2; stage 1 has no adapter.")
    if safety_args.merge_adapter and training_args.push_to_hub and training_args.hub_strategy != HubStrategy.END:
        raise ValueError(
            f"`hub_strategy: {training_args.hub_strategy.value}` would push the adapter into the repository that the "
            "merged model goes to. With `merge_adapter` set it to `end`."
        )
    saves_adapter = safety_args.stage == 2 and not safety_args.merge_adapter
    check_output_folder(Path(training_args.output_dir), model_args.model_name_or_path, saves_adapter)
    if training_args.max_length is not None:
        raise ValueError("`max_length` must be null, because the tokens of an image cannot be cut.")
    if safety_args.num_spared_layers < 0:
        raise ValueError(f"`num_spared_layers` must be 0 or more, not {safety_args.num_spared_layers}.")
    if safety_args.num_spared_layers and not training_args.gradient_checkpointing:
        raise ValueError(
            "`num_spared_layers` needs `gradient_checkpointing`, without which no layer is computed twice."
        )
    if training_args.eval_strategy != "no" and safety_args.eval_dataset_name is None:
        raise ValueError("`eval_strategy` needs `eval_dataset_name`, the rows to evaluate on.")
    check_fields(safety_args, training_args, model_args)
    if safety_args.total_batch_size is not None:
        rows_at_once = training_args.per_device_train_batch_size * training_args.world_size
        steps, remainder = divmod(safety_args.total_batch_size, rows_at_once)
        if remainder or not steps:
            raise ValueError(
                f"`total_batch_size` ({safety_args.total_batch_size}) must be a multiple of "
                f"`per_device_train_batch_size` x processes ({training_args.per_device_train_batch_size} x "
                f"{training_args.world_size})."
            )
        training_args.gradient_accumulation_steps = steps


def load_model(
    model_args: ModelConfig, training_args: SFTConfig, safety_feature_dropout: float | None = None
) -> PreTrainedModel:
    """The SafeLLaVA that `model_name_or_path` names."""
    source = {
        "pretrained_model_name_or_path": model_args.model_name_or_path,
        "revision": model_args.model_revision,
        "trust_remote_code": training_args.trust_remote_code,
    }
    model_type = AutoConfig.from_pretrained(**source).model_type
    if model_type not in SAFE_MODEL_TYPES:
        raise ValueError(
            f"`model_name_or_path`: {model_args.model_name_or_path} is a {model_type!r}, not a 'safe_llava'. "
            f"Convert it first: `safe-llava convert {model_args.model_name_or_path} OUTPUT`."
        )
    options: dict[str, Any] = {"dtype": model_args.dtype, "attn_implementation": model_args.attn_implementation}
    if safety_feature_dropout is not None:
        options["safety_feature_dropout"] = safety_feature_dropout
    if quantization_config := get_quantization_config(model_args):
        options.update(quantization_config=quantization_config, device_map={"": training_args.local_process_index})
    return AutoModelForImageTextToText.from_pretrained(**source, **options)


def load_evaluation(safety_args: SafetyArguments) -> Dataset | None:
    """The rows to evaluate on, as they come."""
    if safety_args.eval_dataset_name is None:
        return None
    return load_rows(
        safety_args, safety_args.eval_dataset_name, safety_args.dataset_eval_split, safety_args.max_eval_samples
    )


def load_held_out(safety_args: SafetyArguments) -> Dataset | None:
    """Scenes to check the head on; of other sources the trainer takes rows to evaluate on, or sets rows aside."""
    if safety_args.stage != 1 or safety_args.dataset_name != MINIATURE or safety_args.eval_dataset_name is not None:
        return None
    return load_rows(safety_args, MINIATURE, safety_args.dataset_eval_split, 300)


def load_rows(safety_args: SafetyArguments, source: str, split: str, max_samples: int | None) -> Dataset:
    """Up to `max_samples` rows of one source, checked."""
    if source == MINIATURE:
        if max_samples is None:
            raise ValueError(f"'{MINIATURE}' draws as many scenes to evaluate on as `max_eval_samples`.")
        return build_dataset(split, max_samples, stage=safety_args.dataset_config or f"stage{safety_args.stage}")
    dataset, _ = load_safety_dataset(source, split=split, **options_of(safety_args, source))
    dataset = keep_answered(dataset) if safety_args.stage == 2 else dataset
    return dataset if max_samples is None else dataset.take(min(max_samples, len(dataset)))


def save(trainer: SafeSFTTrainer, merge: bool) -> None:
    """Saves the model, or the adapter, or both the adapter and the merged model; the processor with each."""
    output_dir = Path(trainer.args.output_dir)
    folder = output_dir / "adapter" if merge else output_dir
    trainer.save_model(str(folder), _internal_call=True)  # pushed once the card lies beside it
    if merge and trainer.is_world_process_zero():
        merge_adapter(folder, output_dir)
    trainer.accelerator.wait_for_everyone()


if __name__ == "__main__":
    main()
