"""`safe-llava calibrate`: from a model and a dataset to a policy, its figures and a page that shows them."""

from pathlib import Path
from typing import Any

from datasets import Dataset

from ..checkpoints import load_safe_llava, read_config
from ..data import load_safety_dataset
from ..data.source_forms import has_splits
from ..files import describe_versions, read_json, write_json
from ..miniature.scene_dataset import build_dataset
from ..models.safety_policy import SafetyPolicy
from .calibration_figures import summarize
from .calibration_report import write_report
from .fit import DEFAULT_MIN_EXAMPLES, calibrate_policy, check_target
from .labelled_log import is_audit_log, read_labelled_log
from .logits import collect_logits, select_rows


MINIATURE = "miniature"
PACKAGES = ("transformers", "torch", "scipy", "scikit-learn")


def run_calibration(
    model: str,
    dataset: str,
    output_dir: Path,
    *,
    root: str | None = None,
    image_folder: Path | None = None,
    split: str = "validation",
    target_over_refusal: float | None = None,
    target_recall: float | None = None,
    min_examples: int = DEFAULT_MIN_EXAMPLES,
    batch_size: int = 32,
    max_samples: int | None = None,
    label_map: Path | None = None,
    device: str | None = None,
    dtype: str = "auto",
    update_model: bool = True,
) -> dict[str, Any]:
    """
    Calibrates the policy that is stored with a model.

    Args:
        model (`str`): a SafeLLaVA checkpoint, a folder or a Hub id.
        dataset (`str`):
            What [`~safe_llava.data.load_safety_dataset`] takes, a labelled audit log of `safe-llava serve`, or
            `"miniature"` for synthetic scenes.
        output_dir (`Path`): gets `policy.json`, `calibration.json` and `report.html`.
        root (`str`, *optional*): where the files of a public set lie.
        image_folder (`Path`, *optional*): where the names of image files start. Defaults to the folder of the source.
        split (`str`, *optional*, defaults to `"validation"`): split of a folder, a Hub dataset or the miniature.
        target_over_refusal (`float`, *optional*): see [`calibrate_policy`].
        target_recall (`float`, *optional*): see [`calibrate_policy`].
        min_examples (`int`, *optional*, defaults to 20): see [`calibrate_policy`].
        batch_size (`int`, *optional*, defaults to 32): rows in one call of the model.
        max_samples (`int`, *optional*): the first so many rows; the miniature draws so many.
        label_map (`Path`, *optional*): what the categories of a public set become.
        device (`str`, *optional*): defaults to the accelerator of this process, or the CPU.
        dtype (`str`, *optional*, defaults to `"auto"`): the weights' type; "auto" keeps the checkpoint's.
        update_model (`bool`, *optional*, defaults to `True`):
            Whether to write the policy into the `config.json` of a local model.

    Returns:
        `dict[str, Any]`: what `calibration.json` holds: [`summarize`]'s figures, with `model`, `dataset`, `split`,
        `left_out`, `min_examples`, `versions` and `model_updated`.

    Raises:
        ValueError: if the model has no policy or was never trained, or if dataset or targets are not as described.
    """
    check_target(target_over_refusal, target_recall)
    config = read_config(model)
    if config.safety_policy is None:
        raise ValueError(
            f"{model} has no safety policy to calibrate. Attach one with "
            "`model.set_safety_policy(SafetyPolicy(), processor)` and save the model."
        )
    if not config.use_safety_head or config.safety_training is None:
        raise ValueError(f"The safety head of {model} was never trained, or it has none. Train stage 1 first.")
    if is_audit_log(dataset):
        of_images = {"root": root, "image_folder": image_folder, "max_samples": max_samples, "label_map": label_map}
        if given := [name for name, value in of_images.items() if value is not None]:
            raise ValueError(f"{dataset} is an audit log, which is read whole and without images: leave out {given}.")
        logits, left_out = read_labelled_log(Path(dataset), config)
    else:
        rows, left_out = select_rows(_load_rows(dataset, root, image_folder, split, max_samples, label_map))
        logits = collect_logits(*load_safe_llava(model, device, dtype), rows, batch_size) if len(rows) else {}
    if not logits or not len(logits["safety_level"]):
        raise ValueError(f"{dataset} has no row with labels and an image (left out: {left_out}).")
    calibration = calibrate_policy(
        SafetyPolicy.from_dict(config.safety_policy),
        **logits,
        target_over_refusal=target_over_refusal,
        target_recall=target_recall,
        min_examples=min_examples,
    )

    facts = {
        "model": model,
        "dataset": f"{dataset} (synthetic scenes)" if dataset == MINIATURE else dataset,
        "split": split if dataset == MINIATURE or has_splits(dataset) else None,
        "left_out": left_out,
        "min_examples": min_examples,
        "versions": describe_versions(*PACKAGES),
    }
    config_file = Path(model) / "config.json"
    facts["model_updated"] = update_model and config_file.is_file()
    results = {**facts, **summarize(calibration)}
    output_dir.mkdir(parents=True, exist_ok=True)
    calibration.policy.save_json(output_dir / "policy.json")
    write_json(output_dir / "calibration.json", results)
    write_report(calibration, output_dir / "report.html", facts)
    if facts["model_updated"]:
        store_policy(calibration.policy, config_file)
    return results


def store_policy(policy: SafetyPolicy, config_file: Path) -> None:
    """
    Puts a policy with the same texts as the stored one into a `config.json`, in one step; all else stays as it is.

    Args:
        policy ([`SafetyPolicy`]): the policy. Its texts must have token ids in the file already.
        config_file (`Path`): the file to change.
    """
    config = read_json(config_file)
    config["safety_policy"] = policy.to_dict()
    write_json(config_file, config)


def _load_rows(
    source: str,
    root: str | None,
    image_folder: Path | None,
    split: str,
    max_samples: int | None,
    label_map: Path | None,
) -> Dataset:
    if source == MINIATURE:
        if max_samples is None:
            raise ValueError(f"'{MINIATURE}' draws as many scenes as --max-samples; set it, such as to 1000.")
        return build_dataset(split, max_samples, stage="evaluation")
    dataset, _ = load_safety_dataset(source, root, image_folder=image_folder, split=split, label_map=label_map)
    return dataset if max_samples is None else dataset.take(min(max_samples, len(dataset)))
