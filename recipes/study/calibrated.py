"""A trained model with the policy that `safe-llava calibrate` makes for it, on rows that no training has seen."""

from typing import Any

from transformers import PreTrainedModel, ProcessorMixin

from safe_llava.calibration import calibrate_policy
from safe_llava.calibration.logits import collect_logits, select_rows

from .study_world import StudyWorld


def calibrate_model(
    study: StudyWorld, model: PreTrainedModel, processor: ProcessorMixin, num_rows: int, **how: Any
) -> dict[str, Any]:
    """
    Attaches a policy that is fitted to rows of the world's split "validation".

    Args:
        study ([`StudyWorld`]): draws the rows.
        model ([`SafeLlavaForConditionalGeneration`]): changed in place.
        processor ([`SafeLlavaProcessor`]): its processor.
        num_rows (`int`): how many, in the mix of an evaluation; those without an image are left out.
        how (`Any`): arguments of [`calibrate_policy`].

    Returns:
        `dict[str, Any]`: what was fitted, to read beside the figures.
    """
    rows, _ = select_rows(study.world.build_dataset("validation", num_rows))
    policy = calibrate_policy(model.safety_policy, **collect_logits(model, processor, rows), **how).policy
    model.set_safety_policy(policy, processor)
    fitted = {name: getattr(policy, name) for name in ("level_threshold", "temperature")}
    return {
        "rows": len(rows),
        **fitted,
        "thresholds": {name: rule["threshold"] for name, rule in policy.types.items()},
    }
