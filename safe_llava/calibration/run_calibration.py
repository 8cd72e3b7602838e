"""`safe-llava calibrate`: from a model and a dataset to a policy, its figures and a page that shows them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.source_forms import has_splits
from ..files import describe_versions, write_json
from ..guards.open_guard import refuse_torch_options
from ..models.onnx_folder import is_exported
from .calibration_figures import summarize
from .calibration_report import write_report
from .familiarity import check_share
from .fit import DEFAULT_MIN_EXAMPLES, calibrate_policy, check_target
from .guarantee import DEFAULT_CONFIDENCE, DEFAULT_FIT_SHARE, Origin, check_shares, guarantee_policy
from .promises import Promise, parse_promises
from .row_digest import count_copies
from .row_sources import MINIATURE, read_source
from .stored_policy import read_stored_policy


PACKAGES = ("transformers", "torch", "onnxruntime", "scipy", "scikit-learn")


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
    guarantee: Sequence[str] = (),
    confidence: float | None = None,
    fit_share: float | None = None,
    min_examples: int | None = None,
    fit_level_threshold: bool = False,
    batch_size: int = 32,
    max_samples: int | None = None,
    label_map: Path | None = None,
    samples: Path | None = None,
    familiar_share: float | None = None,
    device: str | None = None,
    dtype: str = "auto",
    update_model: bool = True,
) -> dict[str, Any]:
    """
    Calibrates the policy that is stored with a model.

    Args:
        model (`str`): a SafeLLaVA checkpoint, a folder or a Hub id; or the folder of an exported guard.
        dataset (`str`):
            What [`~safe_llava.data.load_safety_dataset`] takes, a labelled audit log of `safe-llava serve`, the ticks
            of an audit, ratings of a review, or `"miniature"` for synthetic scenes.
        output_dir (`Path`):
            Gets `policy.json`, `calibration.json` and `report.html`; with `familiar_share` also `familiarity.json`.
        root (`str`, *optional*): where the files of a public set lie.
        image_folder (`Path`, *optional*): where the names of image files start. Defaults to the folder of the source.
        split (`str`, *optional*, defaults to `"validation"`): split of a folder, a Hub dataset or the miniature.
        target_over_refusal (`float`, *optional*): see [`calibrate_policy`].
        target_recall (`float`, *optional*): see [`calibrate_policy`].
        guarantee (`Sequence[str]`, *optional*):
            In place of a target, promises such as `"over_refusal<=0.01"`; see [`guarantee_policy`].
        confidence (`float`, *optional*, defaults to 0.95): with which they shall hold.
        fit_share (`float`, *optional*, defaults to 0.3): share of the rows that is fitted to and not tested on.
        min_examples (`int`, *optional*, defaults to 20): see [`calibrate_policy`].
        fit_level_threshold (`bool`, *optional*, defaults to `False`): see [`calibrate_policy`].
        batch_size (`int`, *optional*, defaults to 32): rows in one call of the model.
        max_samples (`int`, *optional*): the first so many rows; the miniature draws so many.
        label_map (`Path`, *optional*): what the categories of a public set become.
        samples (`Path`, *optional*): of ratings the samples that were rated.
        familiar_share (`float`, *optional*):
            Makes the model know images that are unlike those of the rows, and keep this share of rows like them; see
            [`~safe_llava.calibration.familiarity.fit_familiarity`].
        device (`str`, *optional*): defaults to the accelerator of this process, or the CPU.
        dtype (`str`, *optional*, defaults to `"auto"`): the weights' type; "auto" keeps the checkpoint's.
        update_model (`bool`, *optional*, defaults to `True`):
            Whether to write policy and statistics into the `config.json` of a local model, or the policy into the
            `guard.json` of a folder.

    Returns:
        `dict[str, Any]`: what `calibration.json` holds: [`summarize`]'s figures, with `model`, `dataset`, `split`,
        `left_out`, `min_examples`, `versions` and `model_updated`.

    Raises:
        ValueError: if the model has no policy or was never trained, or if dataset or targets are not as described.
    """
    promises = _check_options(guarantee, confidence, fit_share, target_over_refusal, target_recall, min_examples)
    if fit_level_threshold and fit_share == 0:
        raise ValueError("--fit-level-threshold has no effect with --fit-share 0, which fits nothing to the rows.")
    if familiar_share is not None:
        _check_familiar_share(model, familiar_share, bool(promises))
    min_examples = DEFAULT_MIN_EXAMPLES if min_examples is None else min_examples
    if is_exported(model):
        refuse_torch_options(model, device, dtype)
    stored = read_stored_policy(model)
    # A promise was tested with other rows refused as unfamiliar, or with none.
    policy = stored.policy if familiar_share is None else stored.policy.updated({"guarantee": None})
    rows, left_out, sha256, familiarity = read_source(
        model,
        stored.weights,
        dataset,
        root=root,
        image_folder=image_folder,
        split=split,
        max_samples=max_samples,
        label_map=label_map,
        samples=samples,
        familiar_share=familiar_share,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
    )
    if promises:
        calibration = guarantee_policy(
            policy,
            rows,
            promises,
            Origin(sha256, stored.weights[0], left_out, count_copies(rows)),
            confidence=DEFAULT_CONFIDENCE if confidence is None else confidence,
            fit_share=DEFAULT_FIT_SHARE if fit_share is None else fit_share,
            min_examples=min_examples,
            fit_level_threshold=fit_level_threshold,
        )
    else:
        calibration = calibrate_policy(
            policy,
            rows.level_logits,
            rows.type_logits,
            rows.level,
            rows.type,
            rows.separate,
            rows.unfamiliar,
            target_over_refusal=target_over_refusal,
            target_recall=target_recall,
            min_examples=min_examples,
            fit_level_threshold=fit_level_threshold,
        )

    facts = {
        "model": model,
        "dataset": f"{dataset} (synthetic scenes)" if dataset == MINIATURE else dataset,
        "split": split if dataset == MINIATURE or has_splits(dataset) else None,
        "left_out": left_out,
        "min_examples": min_examples,
        "versions": describe_versions(*PACKAGES),
    }
    facts["model_updated"] = update_model and stored.file is not None
    facts["familiarity"] = None if familiarity is None else {name: familiarity[name] for name in ("share", "rows")}
    results = {**facts, **summarize(calibration)}
    refused = int(rows.refused(policy).sum())
    if refused and not promises:
        results["notes"].append(
            f"Of {len(rows)} rows {refused} are refused as unlike those that the model was calibrated on, whatever "
            "the thresholds. They are left out of all other figures."
        )
    output_dir.mkdir(parents=True, exist_ok=True)
    calibration.policy.save_json(output_dir / "policy.json")
    if familiarity is not None:
        write_json(output_dir / "familiarity.json", familiarity)
    write_json(output_dir / "calibration.json", results)
    write_report(calibration, output_dir / "report.html", facts)
    if facts["model_updated"]:
        stored.replace(calibration.policy, familiarity)
    return results


def _check_familiar_share(model: str, share: float, is_promised: bool) -> None:
    check_share(share)
    if is_exported(model):
        raise ValueError(
            f"--familiar-share cannot change {model}, which `safe-llava export` wrote. Calibrate the checkpoint with "
            "it, and export that."
        )
    if is_promised:
        raise ValueError(
            "Give --familiar-share or --guarantee, not both: a promise is tested on rows that nothing was fitted to. "
            "Calibrate with --familiar-share first, then with --guarantee on other rows."
        )


def _check_options(
    guarantee: Sequence[str],
    confidence: float | None,
    fit_share: float | None,
    target_over_refusal: float | None,
    target_recall: float | None,
    min_examples: int | None,
) -> tuple[Promise, ...]:
    """Refuses what contradicts itself or has no effect, before anything is loaded."""
    if not guarantee:
        for name, value in (("confidence", confidence), ("fit-share", fit_share)):
            if value is not None:
                raise ValueError(f"--{name} has no effect without --guarantee.")
        check_target(target_over_refusal, target_recall)
        return ()
    if target_over_refusal is not None or target_recall is not None:
        raise ValueError(
            "Give a target or a guarantee, not both: a target holds on the rows at hand, a guarantee on those to come."
        )
    if fit_share == 0 and min_examples is not None:
        raise ValueError("--min-examples has no effect with --fit-share 0, which fits nothing to the rows.")
    check_shares(
        DEFAULT_CONFIDENCE if confidence is None else confidence, DEFAULT_FIT_SHARE if fit_share is None else fit_share
    )
    return parse_promises(guarantee)
