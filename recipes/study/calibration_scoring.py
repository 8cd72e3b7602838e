"""How far a model's confidence is from its being right, before and after its temperatures are fitted."""

from typing import Any

import numpy as np
from datasets import Dataset
from scipy.special import softmax
from transformers import PreTrainedModel, ProcessorMixin

from safe_llava import SafetyPolicy
from safe_llava.calibration import calibrate_policy, collect_logits, select_rows
from safe_llava.statistics import expected_calibration_error, top_label

from .study_world import StudyWorld


NUM_CALIBRATION_ROWS = 1000


def score_calibration(
    study: StudyWorld,
    model: PreTrainedModel,
    processor: ProcessorMixin,
    benchmark: Dataset,
    answers: list[dict[str, Any]],
    share: float,
) -> dict[str, float]:
    """
    Fit the temperatures on validation scenes, then measure the calibration error on the benchmark's.

    Args:
        study ([`StudyWorld`]): where.
        model (`PreTrainedModel`): a SafeLLaVA with a head.
        processor (`ProcessorMixin`): its processor.
        benchmark (`Dataset`): the rows that were asked.
        answers (`list[dict[str, Any]]`): the answer to each of them.
        share (`float`): share of the benchmark's rows that was asked; the temperatures are fitted on as large a share
            of the validation scenes.

    Returns:
        `dict[str, float]`: the error of level and type, before and after, over the claims whose looks the training has
        ("seen") and over the others ("unseen").
    """
    rows, _ = select_rows(study.world.build_dataset("validation", max(100, round(NUM_CALIBRATION_ROWS * share))))
    fitted = calibrate_policy(SafetyPolicy(), **collect_logits(model, processor, rows))  # type: ignore[arg-type]
    temperature = fitted.policy.temperature
    errors = {}
    for where, is_meant in (
        ("seen", lambda claim: claim not in study.unseen),
        ("unseen", lambda claim: claim in study.unseen),
    ):
        for name in ("level", "type"):
            assessed = [
                (answer[f"{name}_probs"], label)
                for answer, label, claim in zip(answers, benchmark[f"safety_{name}"], benchmark["claim"])
                if claim != "text_only" and is_meant(claim)
            ]
            probs, labels = (np.array(values) for values in zip(*assessed))
            for when, divisor in (("before", 1.0), ("after", temperature[name])):
                scaled = softmax(np.log(probs.clip(1e-12)) / divisor, axis=1)
                errors[f"{where}_{name}_{when}"] = expected_calibration_error(*top_label(scaled, labels))
    return errors
