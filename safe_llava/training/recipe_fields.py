"""Fields of a training recipe that would have no effect, each with the reason."""

from dataclasses import MISSING
from typing import Any

from trl import ModelConfig, SFTConfig

from ..data.mix_entries import MINIATURE, parse_entries
from ..data.source_forms import has_configurations, has_splits, lists_rows, may_name_images
from ..data.sources import is_public_set


def check_fields(safety_args: Any, training_args: SFTConfig, model_args: ModelConfig) -> None:
    """
    Refuses a recipe that sets what nothing reads.

    Args:
        safety_args (`SafetyArguments`): those of `recipes/train.py`.
        training_args ([`~trl.SFTConfig`]): trl's.
        model_args ([`~trl.ModelConfig`]): trl's.

    Raises:
        ValueError: at the first such field.
    """
    has_evaluation = safety_args.eval_dataset_name is not None
    roles = [("train", safety_args.dataset_name)] if safety_args.datasets is None else []
    roles += [("eval", safety_args.eval_dataset_name)] if has_evaluation else []
    sources = [source for _, source in roles]
    unread: dict[str, str] = {}
    if safety_args.datasets is None:
        unread["duplicates"] = "only `datasets` are looked through for them"
        if safety_args.dataset_name == MINIATURE and safety_args.max_train_samples is None:
            raise ValueError(f"'{MINIATURE}' draws as many scenes as `max_train_samples` says; give it.")
    else:
        entries = parse_entries(safety_args.datasets)
        unread |= dict.fromkeys(("max_train_samples", "unlabelled", "dataset_train_split"), "`datasets` have theirs")
    if safety_args.benchmarks or (safety_args.datasets is not None and safety_args.duplicates == "drop"):
        unread["check_images"] = "duplicates and rows of benchmarks are found by decoding images"
    if not has_evaluation:
        reason = "there is no `eval_dataset_name`"
        unread |= {"max_eval_samples": reason, "dataset_eval_split": reason, "eval_on_start": reason}
    for role, source in roles:
        if source != MINIATURE and not has_splits(source):
            unread[f"dataset_{role}_split"] = f"{source} has no splits"
    if not any(source != MINIATURE and may_name_images(source) for source in sources):
        unread["image_folder"] = f"{' and '.join(sources)} holds its images" if sources else "`datasets` have theirs"
    if not any(source == MINIATURE or has_configurations(source) for source in sources):
        reason = f"{' and '.join(sources)} has no configurations"
        unread["dataset_config"] = reason if sources else "`datasets` have theirs"
    if safety_args.datasets is not None:
        sources += [entry.name for entry in entries]
        unread |= dict.fromkeys(("dataset_root", "label_map"), "`datasets` have theirs")
    elif is_public_set(safety_args.dataset_name):
        unread["unlabelled"] = f"{safety_args.dataset_name} is a public set"
    else:
        unread |= dict.fromkeys(("dataset_root", "label_map"), f"{safety_args.dataset_name} is no public set")
    if all(source == MINIATURE for source in sources):
        unread |= dict.fromkeys(("on_bad_rows", "check_images"), "scenes are drawn")
    if safety_args.dataset_name == MINIATURE:
        unread["unlabelled"] = "scenes are drawn with their labels"
    if safety_args.total_batch_size is not None:
        unread["gradient_accumulation_steps"] = "`total_batch_size` sets it"
    if safety_args.stage == 1:
        unread |= {
            name: "stage 1 has no adapter" for name in vars(model_args) if name.startswith(("lora_", "use_dora"))
        }
        unread["use_rslora"] = "stage 1 has no adapter"
    for name, reason in unread.items():
        for arguments in (safety_args, training_args, model_args):
            field = type(arguments).__dataclass_fields__.get(name)
            if field is not None and getattr(arguments, name) != _default(field):
                raise ValueError(f"`{name}` has no effect, for {reason}. Remove it.")


def _default(field: Any) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def options_of(safety_args: Any, source: str) -> dict[str, Any]:
    """
    The arguments of [`load_safety_dataset`] that a source of a recipe takes, of two sources that share their fields.

    Args:
        safety_args (`SafetyArguments`): those of `recipes/train.py`.
        source (`str`): what is loaded.
    """
    sources = {safety_args.dataset_name, safety_args.eval_dataset_name} - {None, MINIATURE}
    # Of tables only reading tells whether they name images, so one beside JSON or csv has its own.
    is_theirs = lists_rows if any(map(lists_rows, sources)) else may_name_images
    is_trained_set = is_public_set(source) and source == safety_args.dataset_name
    return {
        "root": safety_args.dataset_root if is_trained_set else None,
        "label_map": safety_args.label_map if is_trained_set else None,
        "image_folder": safety_args.image_folder if is_theirs(source) else None,
        "config_name": safety_args.dataset_config if has_configurations(source) else None,
        "on_error": safety_args.on_bad_rows,
        "check_images": safety_args.check_images,
    }
