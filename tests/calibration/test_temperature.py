import numpy as np
import pytest
from scipy.special import softmax

from safe_llava.calibration.temperature import fit_temperature
from safe_llava.statistics import NUM_BINS, expected_calibration_error, reliability


def one_of(labels: np.ndarray, *others: int) -> np.ndarray:
    """A mask of the labelled classes, and of `others` where the label is one of these too."""
    mask = labels[:, None] == np.arange(labels.max() + 1)
    mask[np.isin(labels, others)] |= np.isin(np.arange(mask.shape[1]), others)
    return mask


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_recovered(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 7)) * 2
    labels = np.array([rng.choice(7, p=probs) for probs in softmax(logits, axis=1)])
    assert fit_temperature(logits * temperature, one_of(labels)) == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("temperature", [0.4, 2.5])
def test_a_known_temperature_is_recovered_where_only_some_risk_is_known(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40_000, 4)) * 2
    labels = np.array([rng.choice(4, p=probs) for probs in softmax(logits, axis=1)])
    assert fit_temperature(logits * temperature, one_of(labels, 1, 2, 3)) == pytest.approx(temperature, rel=0.05)


def test_there_is_no_best_temperature_where_every_row_is_right():
    assert fit_temperature(np.eye(4) * 3, one_of(np.arange(4))) is None


def test_there_is_no_best_temperature_where_the_scores_speak_against_the_labels():
    assert fit_temperature(np.eye(4) * 3, one_of(np.roll(np.arange(4), 1))) is None


def test_the_calibration_error_is_the_mean_gap_between_confidence_and_truth():
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.6, 0.6])
    is_right = np.array([1, 1, 1, 0, 0, 0])
    assert expected_calibration_error(confidence, is_right) == pytest.approx(4 / 6 * 0.15 + 2 / 6 * 0.6)


def test_probabilities_of_drawn_labels_have_next_to_no_calibration_error():
    rng = np.random.default_rng(0)
    probs = rng.random(50_000)
    assert expected_calibration_error(probs, rng.random(50_000) < probs) < 0.01


def test_every_row_is_in_one_bin_and_the_ends_belong_to_the_outer_bins():
    edges = np.array([0.0, 1 / NUM_BINS, 1.0])
    confidence, _, counts = reliability(edges, np.array([False, False, True]))
    assert counts.tolist() == [2, 1]
    assert confidence.tolist() == pytest.approx([0.5 / NUM_BINS, 1.0])
