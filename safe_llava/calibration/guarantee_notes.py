"""What a reader has to know of a promise: what it covers, and on what it rests."""

from ..data.label_parsing import SOME_RISK
from .fit import Calibration


_LEFT_OUT = {
    "unlabelled": "without labels",
    "several_classes": "that may be harmless or not",
    "without_image": "without an image",
    "several_images": "with several images",
    "skipped": "passed over without a tick",
    "untrusted": "whose verdict cannot be trusted",
    "only_riskiest": "ticked among the riskiest alone",
    "thinned": "taken out so that flagged rows weigh no more than among all",
    "beyond_max_samples": "beyond --max-samples",
    "cut_off": "whose rating was never written whole",
}
_CHOSEN_BY_SOMEBODY = ("unlabelled", "several_classes", "skipped", "only_riskiest", "beyond_max_samples", "cut_off")


def describe_left_out(left_out: dict[str, int]) -> str:
    """How many rows were not taken, by reason; empty where all were."""
    return ", ".join(f"{number} {_LEFT_OUT[reason]}" for reason, number in left_out.items() if number)


def list_guarantee_notes(calibration: Calibration) -> list[str]:
    """
    The notes on a calibration with a guarantee.

    Args:
        calibration ([`Calibration`]): from [`guarantee_policy`].
    """
    guarantee = calibration.guarantee or {}
    of_rows, rows, policy = guarantee["rows"], calibration.rows, calibration.policy
    share = f"{100 * guarantee['confidence']:.4g} %"
    notes = [
        "The promise holds for images and questions that are drawn as these rows were, with these weights, thresholds "
        f"and temperatures: of many such drawings of rows, {share} or more end with a promise that is kept. Images, "
        "users or questions of another kind are not covered. A policy whose thresholds are changed loses it."
    ]
    if left_out := describe_left_out(of_rows["left_out"]):
        chosen = any(of_rows["left_out"].get(reason) for reason in _CHOSEN_BY_SOMEBODY)
        notes.append(
            f"Left out: {left_out}. The promise covers rows like those that were taken."
            + " If it was not chance that decided which got labels, it does not cover the rest." * chosen
        )
    if of_rows["fitted"]:
        notes.append(
            f"{of_rows['fitted']} rows, drawn at random, gave temperatures and the proportions between thresholds; "
            f"the other {of_rows['tested']} were tested. None of them may have been trained on."
        )
    else:
        notes.append(
            "Temperatures and the proportions between thresholds are those of the policy as it was. The promise holds "
            "if these rows had no part in choosing them, nor in the training."
        )
    if of_rows["copies"]:
        notes.append(
            f"{of_rows['copies']} rows look like copies of others. The promise takes rows as independent draws: "
            "if somebody copied them, take the copies out and calibrate again."
        )
    unknown = ((rows.level == SOME_RISK) | (rows.type == SOME_RISK)) & ~rows.risky(policy)
    if unknown.any() and any(name.startswith("miss_rate") for name in guarantee["promises"]):
        notes.append(
            f"{int(unknown.sum())} risky rows of an unknown level or type may be such as the policy is meant to pass: "
            "no promise speaks of them."
        )
    untyped = int((rows.type == SOME_RISK).sum())
    if untyped and any(name.startswith("miss_rate.") for name in guarantee["promises"]):
        notes.append(f"{untyped} risky rows have no known type: a promise on one type does not speak of them.")
    return notes
