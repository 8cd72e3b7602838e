"""Fits a policy's temperature and thresholds to labelled rows, and shows what that does."""

from .familiarity import fit_familiarity
from .fit import Calibration, calibrate_policy
from .logits import collect_logits, select_rows


__all__ = ["Calibration", "calibrate_policy", "collect_logits", "fit_familiarity", "select_rows"]
