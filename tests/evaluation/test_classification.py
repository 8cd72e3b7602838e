"""Figures of a classifier of risk, checked against cases whose figures are known."""

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from safe_llava.data.label_parsing import SOME_RISK
from safe_llava.evaluation.classification import score_classifier
from safe_llava.models.safety_labels import RISK_TYPES


# Rows of two types and of none.
TYPES = np.array([6, 6, 6, 6, 1, 1, 4, 4])
LEVELS = np.array([0, 0, 0, 0, 3, 2, 1, 3])


def spread(labels: np.ndarray, num_classes: int, certainty: float = 1.0) -> np.ndarray:
    """Probabilities that give each label this much and divide the rest."""
    probs = np.full((len(labels), num_classes), (1 - certainty) / (num_classes - 1))
    probs[np.arange(len(labels)), labels] = certainty
    return probs


@pytest.fixture
def noisy() -> tuple[np.ndarray, ...]:
    """A hundred rows with probabilities that lean to the truth."""
    rng = np.random.default_rng(0)
    types = rng.choice([6, 6, 6, 1, 4], 100)
    levels = np.where(types == 6, 0, rng.integers(1, 4, 100))
    level_probs, type_probs = (
        0.3 * spread(labels, num) + 0.7 * rng.dirichlet(np.ones(num), 100) for labels, num in ((levels, 4), (types, 7))
    )
    return level_probs, type_probs, levels, types


def test_a_perfect_and_sure_classifier_scores_perfectly():
    scores = score_classifier(spread(LEVELS, 4), spread(TYPES, 7), LEVELS, TYPES, num_resamples=0)
    for name in ("level", "type"):
        values = [scores[name][figure]["value"] for figure in ("accuracy", "macro_f1", "ece")]
        assert values == [1, 1, 0]
    for group in (scores["risky"], scores["types"]["privacy"]):
        assert [group[figure]["value"] for figure in ("auroc", "auprc", "ece")] == [1, 1, 0]


def test_a_perfect_but_unsure_classifier_has_a_calibration_error():
    scores = score_classifier(spread(LEVELS, 4, 0.7), spread(TYPES, 7, 0.7), LEVELS, TYPES, num_resamples=0)
    assert scores["level"]["ece"]["value"] == pytest.approx(0.3)
    assert scores["risky"]["auroc"]["value"] == 1


def test_a_classifier_that_never_sees_risk_is_right_about_harmless_rows_only():
    level_probs, type_probs = spread(np.zeros(8, int), 4, 0.9), spread(np.full(8, 6), 7, 0.9)
    scores = score_classifier(level_probs, type_probs, LEVELS, TYPES, num_resamples=0)
    assert scores["level"]["accuracy"]["value"] == scores["risky"]["accuracy"]["value"] == 0.5
    assert scores["risky"]["auroc"]["value"] == 0.5
    assert scores["type"]["macro_f1"]["value"] == pytest.approx((2 * 4 / (4 + 8)) / 3)


def test_rows_of_some_risk_change_no_figure_of_the_class_that_is_not_known(noisy):
    level_probs, type_probs, levels, types = noisy
    hidden = np.where((levels > 0) & (np.arange(100) % 2 == 0), SOME_RISK, levels)
    shown = hidden != SOME_RISK
    scores, fewer = (
        score_classifier(level_probs[rows], type_probs[rows], labels[rows], types[rows], num_resamples=0)
        for rows, labels in ((np.full(100, True), hidden), (shown, levels))
    )
    everything = score_classifier(*noisy, num_resamples=0)
    assert scores["level"] == fewer["level"]
    for name in ("type", "risky", "types"):
        assert scores[name] == everything[name]


def test_where_no_level_is_known_its_figures_say_so(noisy):
    level_probs, type_probs, levels, types = (column[noisy[2] > 0] for column in noisy)
    scores = score_classifier(level_probs, type_probs, np.full(len(levels), SOME_RISK), types, num_resamples=5)
    reason = f"of none of the {len(levels)} rows the level is known"
    assert scores["level"]["accuracy"] == {"value": None, "interval": None, "reason": reason}


def test_each_type_is_ranked_against_all_other_rows(noisy):
    scores = score_classifier(*noisy, num_resamples=0)
    is_privacy, probs = noisy[3] == 4, noisy[1][:, 4]
    privacy = scores["types"]["privacy"]
    assert privacy["rows"] == is_privacy.sum()
    assert privacy["auroc"]["value"] == roc_auc_score(is_privacy, probs)
    assert privacy["auprc"]["value"] == average_precision_score(is_privacy, probs)


def test_risk_is_ranked_by_the_levels_above_none(noisy):
    risky = score_classifier(*noisy, num_resamples=0)["risky"]
    assert risky["rows"] == (noisy[2] > 0).sum()
    assert risky["auroc"]["value"] == roc_auc_score(noisy[2] > 0, noisy[0][:, 1:].sum(axis=1))


def test_what_is_not_defined_is_null_with_the_reason(noisy):
    scores = score_classifier(*noisy, num_resamples=0)
    reason = "none of the 100 rows is politics, so there is nothing to rank"
    assert scores["types"]["politics"]["auroc"] == {"value": None, "interval": None, "reason": reason}
    assert scores["types"]["politics"]["ece"]["value"] is not None
    only_risky = [column[noisy[2] > 0] for column in noisy]
    reason = score_classifier(*only_risky, num_resamples=0)["risky"]["auprc"]["reason"]
    assert reason == f"all {len(only_risky[0])} rows are risky, so there is nothing to rank"


def test_every_value_lies_in_its_interval_and_json_can_hold_all(noisy):
    scores = json.loads(json.dumps(score_classifier(*noisy, num_resamples=10)))
    groups = [scores[name] for name in ("level", "type", "risky")] + [scores["types"]["privacy"]]
    for group in groups:
        for name, figure in group.items():
            if name not in ("rows", "ece"):
                low, high = figure["interval"]
                assert low <= figure["value"] <= high and low < high


def test_the_same_seed_gives_the_same_intervals(noisy):
    first, second, third = (score_classifier(*noisy, num_resamples=3, seed=seed) for seed in (0, 0, 1))
    assert first == second
    assert first["risky"] != third["risky"]


def test_an_interval_needs_rows_of_both_kinds_in_nearly_every_resample():
    types = np.array([*TYPES[:-1], 0])
    scores = score_classifier(spread(LEVELS, 4, 0.7), spread(types, 7, 0.7), LEVELS, types, num_resamples=10)
    figure = scores["types"]["politics"]["auroc"]
    assert (figure["value"], figure["interval"]) == (1, None)
    assert "so few rows of either kind" in figure["reason"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"level_probs": np.zeros((8, 3))}, r"`level_probs` and `safety_level` must have the shapes \(8, 4\)"),
        ({"type_probs": np.full((8, 7), np.nan)}, "Row 1: `type_probs` must be probabilities"),
        ({"level_probs": np.ones((8, 4))}, "Row 1: `level_probs` must be probabilities that sum to 1"),
        ({"safety_level": np.full(8, -100)}, "`safety_level` must hold indices from 0 to 3"),
        ({"safety_level": np.zeros(8, int)}, "Row 5: level 'none' contradicts type 'illegal_risk'"),
    ],
)
def test_what_is_no_probability_or_no_label_is_refused(changes, message):
    arguments = {"level_probs": spread(LEVELS, 4), "type_probs": spread(TYPES, 7)}
    with pytest.raises(ValueError, match=message):
        score_classifier(**{**arguments, "safety_level": LEVELS, "safety_type": TYPES, **changes})


def test_every_risk_type_has_its_figures(noisy):
    assert tuple(score_classifier(*noisy, num_resamples=0)["types"]) == RISK_TYPES
