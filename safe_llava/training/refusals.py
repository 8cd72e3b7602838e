"""What a trainer is given that it cannot honour, said before it loads anything."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from peft import PeftModel
from torch import nn
from trl import SFTConfig

from .training_row import column_problem


CACHE_OF_CHANGED_IMAGES = (
    "`vision_feature_cache` keeps what the vision tower made of each image, and `robust` changes images anew at every "
    "step. Remove one of them."
)
# Options of trl's preparation of texts, which it leaves out where there are images.
_WITHOUT_EFFECT = ("dataset_text_field", "dataset_kwargs", "dataset_num_proc", "eval_packing")


def check_options(args: SFTConfig | None, arguments: dict[str, Any]) -> None:
    """
    Refuses options of trl that would have no effect here, or one that harms.

    Args:
        args ([`~trl.SFTConfig`], *optional*): the trainer's.
        arguments (`dict`): the other arguments of the trainer.

    Raises:
        ValueError: at the first of them.
    """
    if arguments.get("compute_loss_func") is not None:
        raise ValueError("`compute_loss_func` would leave the safety losses out; override `compute_loss` instead.")
    if arguments.get("formatting_func") is not None:
        raise ValueError("`formatting_func` has no effect on images; `map` the data set before.")
    if args is None:
        return
    if args.label_smoothing_factor:
        raise ValueError("`label_smoothing_factor` would let the safety head read the answers; set it to 0.")
    if getattr(args, "completion_only_loss", None) is False:
        raise ValueError("`completion_only_loss` must not be False: only answers carry loss, prompts go to the head.")
    for name in _WITHOUT_EFFECT:
        default = SFTConfig.__dataclass_fields__[name].default
        if getattr(args, name, default) != default:
            raise ValueError(
                f"`{name}` has no effect on images, whose texts are rendered as they are read; remove it."
            )


def check_datasets(train_dataset: Any, eval_dataset: Any) -> None:
    """
    Refuses data sets that lack a column, or have one too many. Where columns are not declared the first row counts.

    Args:
        train_dataset (`Dataset` or `IterableDataset`, *optional*): rows to train on.
        eval_dataset (`Dataset`, `IterableDataset` or a `dict` of them, *optional*): rows to evaluate on.

    Raises:
        ValueError: with the name of the data set.
    """
    sets = {"train_dataset": train_dataset}
    if isinstance(eval_dataset, dict):
        sets |= {f"eval_dataset[{name!r}]": dataset for name, dataset in eval_dataset.items()}
    else:
        sets["eval_dataset"] = eval_dataset
    for name, dataset in sets.items():
        if dataset is None:
            continue
        columns: Collection[str] = getattr(dataset, "column_names", None) or next(iter(dataset), {})
        if problem := column_problem(columns):
            raise ValueError(f"`{name}` {problem}.")


def check_adapter(model: PeftModel, changes_verdicts: bool) -> None:
    """
    Refuses an adapter that would change verdicts: it cannot carry the record of a training, without which nobody
    trusts them.

    Args:
        model (`PeftModel`): what trains.
        changes_verdicts (`bool`): whether weights train that verdicts rest on.

    Raises:
        ValueError: if they do, and there is a head whose verdicts would change.
    """
    if changes_verdicts and model.get_base_model().config.use_safety_head:
        raise ValueError(
            "The adapter would train weights that verdicts rest on, of the vision tower, the word embeddings or the "
            "safety modules, and the result's verdicts could not be trusted. Take the language model's layers alone: "
            "`target_modules=LANGUAGE_MODEL_LINEAR_LAYERS`, and no `modules_to_save` of these."
        )


def check_robust(
    model: nn.Module, data_collator: Callable | None, vision_feature_cache: str | Path | None, is_sharded: bool
) -> None:
    """
    Refuses training against attacks where it would have no effect, or could not run.

    Args:
        model ([`SafeLlavaForConditionalGeneration`]): as it is frozen.
        data_collator (`Callable`, *optional*): the caller's own.
        vision_feature_cache (`str` or `Path`, *optional*): the trainer's.
        is_sharded (`bool`): whether each process holds a part of each weight.

    Raises:
        ValueError: at the first reason.
    """
    if not any("safety_modules.head." in name and weight.requires_grad for name, weight in model.named_parameters()):
        raise ValueError(
            "`robust` trains the safety head against attacks, and no safety head trains here. Leave it out, or call "
            "`train_only_safety_modules(model)` first."
        )
    if vision_feature_cache is not None:
        raise ValueError(CACHE_OF_CHANGED_IMAGES)
    if data_collator is not None:
        raise ValueError("`robust` changes images as they are read, in `SafeDataCollator`. Leave `data_collator` out.")
    if is_sharded:
        raise ValueError(
            "`robust` runs the vision tower and the head by themselves, and FSDP or ZeRO-3 keep the weights in parts. "
            "Train with DDP or ZeRO-2."
        )
