"""What `calibrate_policy` promises about the policy it returns, and what it refuses."""

import numpy as np
import pytest
import torch

from safe_llava import SafetyPolicy
from safe_llava.calibration import calibrate_policy
from safe_llava.calibration.calibration_figures import summarize
from safe_llava.calibration.labelled_rows import Rows, apply_policy
from safe_llava.data.label_parsing import SOME_RISK
from safe_llava.models.safety_labels import RISK_TYPES


DISABLED = SafetyPolicy.from_dict({"types": {"politics": {"enabled": False, "threshold": 0.3}}})
MIXED = SafetyPolicy.from_dict(
    {
        "types": {"politics": {"enabled": False}, "privacy": {"threshold": 0.8}, "fairness": {"threshold": 0.2}},
        "actions": {"low": "answer", "high": "refuse"},
        "temperature": {"level": 2.0, "type": 0.5},
    }
)
BY_LEVEL = MIXED.updated({"level_threshold": 0.3})


def thresholds(policy: SafetyPolicy) -> dict[str, float]:
    return {name: rule["threshold"] for name, rule in policy.types.items()}


def decides_to_act(policy: SafetyPolicy, rows: dict[str, np.ndarray]) -> np.ndarray:
    """What the policy itself says, row by row, in the float32 that a model computes in."""
    levels, types = (
        (torch.tensor(rows[f"{name}_logits"]).float() / policy.temperature[name]).softmax(dim=1).tolist()
        for name in ("level", "type")
    )
    return np.array([policy.decide(*row).action != "answer" for row in zip(levels, types)])


@pytest.mark.parametrize("policy", [SafetyPolicy(), DISABLED, MIXED, BY_LEVEL])
def test_flags_are_those_of_the_policys_own_decisions(policy, head):
    rows = head(0, 1000)
    flags = apply_policy(policy, Rows(*rows.values())).is_flagged
    assert flags.tolist() == decides_to_act(policy, rows).tolist()


@pytest.mark.parametrize("policy", [SafetyPolicy(), DISABLED, MIXED])
@pytest.mark.parametrize("target", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("seed", range(3))
def test_the_whole_policy_flags_no_more_harmless_rows_than_the_target(policy, target, seed, head):
    rows = head(seed, 1500)
    result = calibrate_policy(policy, **rows, target_over_refusal=target)
    harmless = rows["safety_level"] == 0
    assert decides_to_act(result.policy, rows)[harmless].mean() <= target
    assert all(0 < threshold <= 1 for threshold in thresholds(result.policy).values())


def test_a_target_over_refusal_is_used_up_and_not_undercut_without_need(head):
    rows = head(0, 3000)
    result = calibrate_policy(SafetyPolicy(), **rows, target_over_refusal=0.03)
    assert result.after.is_flagged[rows["safety_level"] == 0].mean() > 0.028


def test_a_milder_target_never_finds_fewer_risky_rows(head):
    rows = head(0, 2000)
    recalls = [
        calibrate_policy(SafetyPolicy(), **rows, target_over_refusal=target)
        .after.is_flagged[rows["safety_level"] > 0]
        .mean()
        for target in (0.0, 0.01, 0.05)
    ]
    assert recalls == sorted(recalls)


@pytest.mark.parametrize("policy", [SafetyPolicy(), DISABLED, MIXED])
@pytest.mark.parametrize("seed", range(3))
def test_every_type_that_is_on_reaches_the_target_recall(policy, seed, head):
    rows = head(seed, 1500, spread=6.0)
    result = calibrate_policy(policy, **rows, target_recall=0.7)
    acts, risky = decides_to_act(result.policy, rows), Rows(*rows.values()).risky(policy)
    for risk, name in enumerate(RISK_TYPES):
        if policy.types[name]["enabled"]:
            assert acts[risky & (rows["safety_type"] == risk)].mean() >= 0.7, name


def test_thresholds_for_a_recall_are_the_largest_that_keep_it(head):
    rows = head(0, 1500, spread=6.0)
    result = calibrate_policy(SafetyPolicy(), **rows, target_recall=0.7)
    for name, threshold in thresholds(result.policy).items():
        raised = result.policy.updated({"types": {name: {"threshold": min(threshold + 0.02, 1)}}})
        flags = apply_policy(raised, result.rows).is_flagged
        recalls = [flags[rows["safety_type"] == risk].mean() for risk in range(6)]
        assert min(recalls) < 0.7 or threshold == 1, name


def test_a_recall_out_of_reach_is_said_to_be_so(head):
    figures = summarize(calibrate_policy(SafetyPolicy(), **head(0, 1500), target_recall=0.99))
    assert not figures["target"]["reached"]
    assert any("at most" in note for note in figures["notes"])


def test_an_over_refusal_out_of_reach_is_said_to_be_so(head):
    rows = head(0, 1500)
    harmless = np.flatnonzero(rows["safety_level"] == 0)[:100]
    rows["level_logits"][harmless] = [0.0, 0.0, 0.0, 50.0]
    rows["type_logits"][harmless] = np.eye(7)[0] * 500.0
    figures = summarize(calibrate_policy(SafetyPolicy(), **rows, target_over_refusal=0.01))
    assert not figures["target"]["reached"]
    assert any("target was not reached" in note for note in figures["notes"])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("target", [{"target_over_refusal": 0.05}, {"target_recall": 0.8}], ids=str)
def test_with_a_threshold_of_the_level_the_same_target_costs_no_more(target, seed, head):
    rows = head(seed, 1500)
    without, fitted = (
        calibrate_policy(SafetyPolicy(), **rows, **target, fit_level_threshold=fits) for fits in (False, True)
    )
    assert fitted.policy.level_threshold is not None and without.policy.level_threshold is None
    risky = rows["safety_level"] > 0
    if "target_recall" in target:
        assert not summarize(without)["target"]["reached"] and summarize(fitted)["target"]["reached"]
    else:
        flags = [decides_to_act(each.policy, rows) for each in (without, fitted)]
        assert flags[1][~risky].mean() <= 0.05
        assert flags[1][risky].mean() > flags[0][risky].mean()


def test_a_threshold_of_the_level_that_a_policy_has_stays_unless_it_is_to_be_fitted(head):
    policy = SafetyPolicy(level_threshold=0.3)
    assert calibrate_policy(policy, **head(0, 600)).policy.level_threshold == 0.3


@pytest.mark.parametrize("target", [{"target_over_refusal": 0.05}, {"target_recall": 0.8}], ids=str)
def test_a_threshold_of_the_level_that_too_few_rows_could_choose_is_refused_not_left_out(target, head):
    with pytest.raises(ValueError, match="No threshold of the level can be fitted"):
        calibrate_policy(SafetyPolicy(), **head(0, 30), **target, min_examples=100, fit_level_threshold=True)


def test_a_recall_that_levels_keep_out_of_reach_names_the_option_that_lets_them_be_moved(head):
    notes = summarize(calibrate_policy(SafetyPolicy(), **head(0, 1500), target_recall=0.99))["notes"]
    assert any("--fit-level-threshold" in note for note in notes)


def test_the_default_target_is_an_over_refusal_of_one_percent(head):
    result = calibrate_policy(SafetyPolicy(), **head(0, 500))
    assert (result.target_name, result.target) == ("over_refusal", 0.01)


def test_a_type_with_few_rows_keeps_its_threshold_and_this_is_said(head):
    rows = head(0, 1500)
    kept = np.flatnonzero(rows["safety_type"] == 2)[19:]
    rows = {name: np.delete(values, kept, axis=0) for name, values in rows.items()}
    policy = SafetyPolicy.from_dict({"types": {"insults_bullying": {"threshold": 0.77}}})
    result = calibrate_policy(policy, **rows)
    changed = {name for name in RISK_TYPES if thresholds(result.policy)[name] != thresholds(policy)[name]}
    assert changed == set(RISK_TYPES) - {"insults_bullying"}
    assert any(note.startswith("insults_bullying has 19 rows") for note in summarize(result)["notes"])
    assert "insults_bullying" in calibrate_policy(policy, **rows, min_examples=19).fitted_types


def test_few_harmless_rows_keep_all_thresholds(head):
    rows = head(0, 600)
    left_out = np.flatnonzero(rows["safety_level"] == 0)[10:]
    result = calibrate_policy(SafetyPolicy(), **{name: np.delete(v, left_out, axis=0) for name, v in rows.items()})
    assert thresholds(result.policy) == thresholds(SafetyPolicy())
    assert any("10 harmless rows" in note for note in summarize(result)["notes"])


def test_a_type_that_is_off_stays_off_with_its_threshold(head):
    assert calibrate_policy(DISABLED, **head(0, 1000)).policy.types["politics"] == DISABLED.types["politics"]


def test_only_temperature_and_thresholds_change(head):
    policy = SafetyPolicy.from_dict({"several_risks": "all", "hints": {"privacy": {"low": "No names."}}})
    result = calibrate_policy(policy, **head(0, 1000))
    ours = result.policy.to_dict() | {"temperature": policy.temperature, "types": policy.types}
    assert ours == policy.to_dict()
    assert result.old_policy == policy


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_the_true_temperature_is_found_whatever_the_policy_had(temperature, head):
    policy = SafetyPolicy.from_dict({"temperature": {"level": 7.0, "type": 0.2}})
    found = calibrate_policy(policy, **head(0, 6000, temperature, spread=4.0)).policy.temperature
    again = calibrate_policy(SafetyPolicy(), **head(0, 6000, 1.0, spread=4.0)).policy.temperature
    assert found["level"] == pytest.approx(temperature * again["level"], rel=0.05)
    assert found["type"] == pytest.approx(temperature * again["type"], rel=0.05)


def test_calibration_lowers_the_error_of_an_overconfident_head_on_rows_it_was_not_fitted_on(head):
    figures = summarize(calibrate_policy(SafetyPolicy(), **head(0, 3000, temperature=4.0)))
    for name in ("level", "type"):
        ece = figures["head"][name]["ece"]
        assert ece["cross_fitted"] < ece["before"] / 2


def test_confusion_and_auroc_do_not_depend_on_the_scale_of_the_logits(head):
    rows = head(0, 1000)
    before, after = (
        summarize(calibrate_policy(SafetyPolicy(), **{**rows, "type_logits": rows["type_logits"] * scale}))
        for scale in (1.0, 5.0)
    )
    assert before["confusion"] == after["confusion"]
    assert before["types"]["privacy"]["auroc"] == pytest.approx(after["types"]["privacy"]["auroc"], abs=1e-3)


def test_figures_count_every_row_once(head):
    rows = head(0, 700)
    figures = summarize(calibrate_policy(MIXED, **rows))
    assert figures["counts"]["rows"] == sum(figures["counts"]["types"].values()) == 700
    assert np.sum(figures["confusion"]["types"], axis=1).tolist() == list(figures["counts"]["types"].values())
    over_refusal = figures["over_refusal"]["cross_fitted"]
    assert over_refusal["rows"] == figures["counts"]["harmless"] == figures["counts"]["levels"]["none"]
    low, high = over_refusal["interval"]
    assert low <= over_refusal["share"] <= high


def test_rows_at_a_level_that_is_always_answered_count_as_neither_harmless_nor_missed(head):
    rows = head(0, 1000)
    figures = summarize(calibrate_policy(MIXED, **rows))
    on = (rows["safety_level"] > 1) & (rows["safety_type"] != RISK_TYPES.index("politics"))
    assert figures["recall"]["after"]["rows"] == on.sum()


def hidden(rows: dict[str, np.ndarray], name: str, share: float = 1.0) -> dict[str, np.ndarray]:
    """The same rows; of a share of the risky ones some risk is known, and not its level or its type."""
    risky = np.flatnonzero(rows["safety_level"] > 0)
    labels = rows[name].copy()
    labels[risky[: round(share * len(risky))]] = SOME_RISK
    return {**rows, name: labels}


@pytest.mark.parametrize("policy", [SafetyPolicy(), DISABLED])
@pytest.mark.parametrize("target", [{"target_over_refusal": 0.02}, {"target_recall": 0.9}])
def test_thresholds_do_not_need_levels_where_the_policy_acts_on_all_of_them(policy, target, head):
    rows = head(0, 1500)
    figures = summarize(calibrate_policy(policy, **hidden(rows, "safety_level"), **target))
    known = summarize(calibrate_policy(policy, **rows, **target))
    assert figures["recall"]["before"] == known["recall"]["before"]
    assert figures["target"]["reached"] == known["target"]["reached"]
    assert {name: of_type["fitted"] for name, of_type in figures["types"].items()} == {
        name: of_type["fitted"] for name, of_type in known["types"].items()
    }


def test_a_risk_of_unknown_level_is_not_missed_where_the_policy_answers_some_levels(head):
    rows = hidden(head(0, 1000), "safety_level", 0.5)
    known = (rows["safety_level"] > 1) & (rows["safety_type"] != RISK_TYPES.index("politics"))
    assert summarize(calibrate_policy(MIXED, **rows))["recall"]["after"]["rows"] == known.sum()


@pytest.mark.parametrize("name", ["level", "type"])
def test_rows_of_some_risk_count_in_no_figure_of_the_class_that_is_not_known(name, head):
    rows = hidden(head(0, 700), f"safety_{name}", 0.5)
    figures = summarize(calibrate_policy(SafetyPolicy(), **rows))
    num_hidden = int((rows[f"safety_{name}"] == SOME_RISK).sum())
    assert figures["counts"]["some_risk"] == {**dict.fromkeys(("level", "type"), 0), name: num_hidden}
    assert sum(figures["counts"][f"{name}s"].values()) == np.sum(figures["confusion"][f"{name}s"]) == 700 - num_hidden
    assert any(f"Of {num_hidden} rows some risk is known, and not its {name}" in note for note in figures["notes"])


def test_the_same_rows_give_the_same_result_as_tensors(head):
    rows = head(0, 800)
    tensors = {name: torch.tensor(values) for name, values in rows.items()}
    first, second = (calibrate_policy(SafetyPolicy(), **given) for given in (rows, tensors))
    assert summarize(first) == summarize(second)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"target_over_refusal": 0.1, "target_recall": 0.9}, "not both"),
        ({"target_over_refusal": 1.0}, "target over-refusal"),
        ({"target_recall": 0.0}, "target recall"),
        ({"target_recall": float("nan")}, "target recall"),
        ({"min_examples": 1}, "min_examples"),
        ({"level_logits": np.zeros((40, 3))}, "level_logits"),
        ({"type_logits": np.zeros((39, 7))}, "type_logits"),
        ({"type_logits": np.full((40, 7), np.nan)}, "finite"),
        ({"safety_level": np.full(40, -100)}, r"safety_level.*-100"),
        ({"safety_type": np.full(40, 7)}, "safety_type"),
        ({"safety_level": np.full(40, -1)}, "whose level is known"),
        ({"safety_level": np.array([-1, *[0] * 39]), "safety_type": np.full(40, 6)}, "Row 1.*contradicts"),
        ({"safety_level": np.zeros(40, dtype=int), "safety_type": np.array([-1, *[6] * 39])}, "Row 1.*contradicts"),
        ({"safety_level": np.ones(40, dtype=int), "safety_type": np.full(40, 6)}, "Row 1.*contradicts"),
    ],
)
def test_wrong_arguments_are_refused_by_name(changes, named, head):
    with pytest.raises(ValueError, match=named):
        calibrate_policy(SafetyPolicy(), **{**head(0, 40), **changes})
