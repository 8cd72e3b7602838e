"""A promise is kept at least as often as it says, means the whole policy, and is refused where it cannot be given."""

import re

import numpy as np
import pytest
from scipy.stats import binom

from safe_llava import SafetyPolicy
from safe_llava.calibration.guarantee import Origin, guarantee_policy, sort_steps
from safe_llava.calibration.labelled_rows import Rows, Separate, apply_policy, check_rows
from safe_llava.calibration.promises import Promise, most_failures, parse_promises
from safe_llava.calibration.settled_steps import PromiseTest, choose_step
from safe_llava.calibration.threshold_walk import first_flagged, walk_thresholds
from safe_llava.data.label_parsing import SOME_RISK
from safe_llava.models.safety_labels import RISK_TYPES


ORIGIN = Origin("digest of the rows", "digest of the weights", {"unlabelled": 3})
CONFIDENCE, NUM_DRAWS = 0.9, 1000
PROMISES = {
    "over-refusal": (["over_refusal<=0.03"], 800),
    "miss rate": (["miss_rate<=0.3"], 300),
    "of types too": (["miss_rate<=0.4", "miss_rate.privacy<=0.4", "miss_rate.fairness<=0.4"], 500),
    "both ways": (["over_refusal<=0.04", "miss_rate<=0.33"], 1500),
}


@pytest.fixture(scope="module")
def world(head) -> Rows:
    """All rows that there are: shares among them are the truth."""
    return check_rows(**head(0, 6000, spread=3.0))


def draw(world: Rows, seed: int, size: int) -> Rows:
    chosen = np.random.default_rng(seed).integers(0, len(world), size)
    return Rows(*(values[chosen] for values in (world.level_logits, world.type_logits, world.level, world.type)))


def true_share(promise: Promise, policy: SafetyPolicy, world: Rows) -> float:
    flags = apply_policy(policy, world).is_flagged[promise.speaks_of(world, policy)]
    return (flags == (promise.metric == "over_refusal")).mean()


def count_broken(world: Rows, texts: list[str], size: int, error: float) -> tuple[int, int]:
    """How many of 1,000 draws of rows end with a promise, and how many of these promises the world breaks."""
    policy, promises = SafetyPolicy(), parse_promises(texts)
    walk = walk_thresholds(policy)
    masks = [promise.speaks_of(world, policy) for promise in promises]
    truths = [PromiseTest(promise, sort_steps(promise, policy, walk, world), len(walk), 0) for promise in promises]
    first, drawn = first_flagged(policy, walk, world), np.random.default_rng(0)
    is_over = np.array([promise.metric == "over_refusal" for promise in promises])
    bounds, steps = np.array([promise.bound for promise in promises]), []
    for _ in range(NUM_DRAWS):
        rows = drawn.integers(0, len(world), size)
        steps.append(
            choose_step(
                [
                    PromiseTest(promise, np.sort(first[rows[mask[rows]]]), len(walk), error)
                    for promise, mask in zip(promises, masks)
                ]
            )
        )
    given = np.array([step for step in steps if step is not None])
    flagged = np.array([np.searchsorted(truth.first, given, "right") / len(truth.first) for truth in truths])
    shares = np.where(is_over[:, None], flagged, 1 - flagged)
    return len(given), int((shares > bounds[:, None]).any(axis=0).sum())


@pytest.mark.parametrize("name", PROMISES)
def test_of_1000_draws_no_more_break_the_promise_than_it_allows(name, world):
    texts, size = PROMISES[name]
    directions = len({text[:4] for text in texts})
    num_given, num_broken = count_broken(world, texts, size, (1 - CONFIDENCE) / directions)
    assert num_given > 0.8 * NUM_DRAWS
    assert num_broken <= binom.ppf(0.999, NUM_DRAWS, 1 - CONFIDENCE)


@pytest.mark.parametrize("name", ["over-refusal", "miss rate"])
def test_thresholds_whose_figure_holds_on_the_rows_at_hand_break_it_in_far_more_draws(name, world):
    num_given, num_broken = count_broken(world, *PROMISES[name], error=0.5)
    assert num_broken > 3 * binom.ppf(0.999, num_given, 1 - CONFIDENCE)


def test_it_is_kept_as_often_with_temperatures_and_proportions_that_a_part_of_the_rows_gave(world):
    promises = parse_promises(["over_refusal<=0.05", "miss_rate<=0.33"])
    num_broken = num_given = 0
    for seed in range(40):
        try:
            given = guarantee_policy(SafetyPolicy(), draw(world, seed, 1000), promises, ORIGIN, confidence=0.8)
        except ValueError:
            continue
        num_given += 1
        num_broken += any(true_share(promise, given.policy, world) > promise.bound for promise in promises)
    assert num_given > 20
    assert num_broken <= binom.ppf(0.999, 40, 0.2)


@pytest.mark.parametrize("share", [0, 0.01, 0.05, 0.5])
@pytest.mark.parametrize("num_rows", [0, 1, 40, 300, 2000])
@pytest.mark.parametrize("error", [0.05, 0.2])
def test_the_most_failures_are_the_last_whose_tail_is_small_enough(num_rows, share, error):
    bound = share or 0.002
    tails = binom.cdf(range(num_rows + 1), num_rows, bound)
    expected = int((tails <= error).sum()) - 1 if num_rows else -1
    assert most_failures(num_rows, bound, error) == expected


def test_the_policy_flags_what_its_guarantee_counts(world):
    rows = draw(world, 0, 1500)
    promises = parse_promises(["over_refusal<=0.05", "miss_rate<=0.4", "miss_rate.privacy<=0.6"])
    given = guarantee_policy(SafetyPolicy(), rows, promises, ORIGIN, fit_share=0)
    probs = np.exp(rows.type_logits) / np.exp(rows.type_logits).sum(axis=1, keepdims=True)
    level_probs = np.exp(rows.level_logits) / np.exp(rows.level_logits).sum(axis=1, keepdims=True)
    found = zip(level_probs.tolist(), probs.tolist())
    flags = np.array([given.policy.decide(*row).action != "answer" for row in found])
    is_privacy = rows.type == RISK_TYPES.index("privacy")
    assert [tuple(found.values()) for found in given.policy.guarantee["promises"].values()] == [
        ((rows.level == 0).sum(), flags[rows.level == 0].sum()),
        ((rows.level > 0).sum(), (~flags[rows.level > 0]).sum()),
        (is_privacy.sum(), (~flags[is_privacy]).sum()),
    ]
    assert given.policy.guarantee["rows"] == {
        "tested": 1500, "fitted": 0, "left_out": {"unlabelled": 3}, "copies": 0, "sha256": "digest of the rows"
    }  # fmt: skip


def test_a_row_is_flagged_for_any_of_its_images(world):
    calm = Rows(np.tile([9.0, 0, 0, 0], (400, 1)), np.tile([0.0] * 6 + [9], (400, 1)), *np.full((2, 400), [[0], [6]]))
    alarm = (np.array([[0, 0, 0, 9.0]]), np.array([[20.0] + [0] * 6]))
    promises = parse_promises(["over_refusal<=0.01"])
    given = guarantee_policy(SafetyPolicy(), calm, promises, ORIGIN, fit_share=0)
    assert given.policy.guarantee["promises"]["over_refusal<=0.01"]["failures"] == 0
    others = Separate(np.arange(10), *(np.tile(logits, (10, 1)) for logits in alarm))
    loud = Rows(calm.level_logits, calm.type_logits, calm.level, calm.type, others)
    assert apply_policy(SafetyPolicy(), loud).is_flagged.sum() == 10
    assert apply_policy(SafetyPolicy(), loud.take(np.arange(5, 400))).is_flagged.sum() == 5
    with pytest.raises(ValueError, match=r"more do not help: even its highest thresholds flag 2\.50% of the harmless"):
        guarantee_policy(SafetyPolicy(), loud, promises, ORIGIN, fit_share=0)


def test_rows_with_equal_scores_count_all_or_none(world):
    one = world.take(np.flatnonzero((world.level == 0) & (world.level_logits.argmax(axis=1) > 0))[:1])
    rows = Rows(
        *(np.repeat(values, 500, axis=0) for values in (one.level_logits, one.type_logits, one.level, one.type))
    )
    given = guarantee_policy(SafetyPolicy(), rows, parse_promises(["over_refusal<=0.02"]), ORIGIN, fit_share=0)
    assert given.policy.guarantee["promises"]["over_refusal<=0.02"] == {"rows": 500, "failures": 0}


def test_types_that_are_off_and_everything_but_thresholds_and_temperature_stay(world):
    changes = {"types": {"politics": {"enabled": False, "threshold": 0.3}}, "actions": {"high": "refuse"}}
    policy = SafetyPolicy.from_dict(changes)
    given = guarantee_policy(policy, draw(world, 0, 1000), parse_promises(["over_refusal<=0.05"]), ORIGIN).policy
    assert given.types["politics"] == policy.types["politics"]
    back = {"types": policy.types, "temperature": policy.temperature, "guarantee": None}
    assert given.updated(back) == policy


class TestUnreachable:
    """A promise that the rows do not settle is refused, with what it would take."""

    def refuse(self, rows: Rows, *texts: str, **options) -> str:
        with pytest.raises(ValueError, match="is not reachable") as caught:
            guarantee_policy(SafetyPolicy(), rows, parse_promises(texts), ORIGIN, **options)
        return str(caught.value)

    def test_the_number_of_rows_that_it_names_is_about_enough(self, world):
        rows = draw(world, 0, 150)
        message = self.refuse(rows, "over_refusal<=0.01", fit_share=0)
        needed = int(re.search(r"about (\d+) harmless rows are needed", message)[1])
        assert f"with {rows.harmless().sum()} harmless rows;" in message
        promises = parse_promises(["over_refusal<=0.01"])
        for share, is_enough in ((1.05, True), (0.6, False)):
            harmless = world.take(world.harmless())
            few = Rows(*(
                np.resize(values, (round(share * needed), *values.shape[1:]))
                for values in (harmless.level_logits, harmless.type_logits, harmless.level, harmless.type)
            ))  # fmt: skip
            if is_enough:
                assert guarantee_policy(SafetyPolicy(), few, promises, ORIGIN, fit_share=0).guarantee
            else:
                self.refuse(few, "over_refusal<=0.01", fit_share=0)

    def test_it_counts_the_rows_that_are_fitted_to(self, world):
        message = self.refuse(draw(world, 0, 300), "over_refusal<=0.01", fit_share=0.5)
        assert "(50% of all are fitted to)" in message
        assert int(re.search(r"about (\d+) harmless rows", message)[1]) > 2 * 299

    def test_without_a_row_of_the_kind(self, world):
        harmless = world.take(world.harmless())
        message = self.refuse(harmless, "miss_rate.privacy<=0.05", fit_share=0)
        assert "0 risky (privacy) rows; of risky (privacy) ones at least 59 are needed." in message

    def test_where_the_head_is_too_weak(self, world):
        assert "even its lowest thresholds miss 18." in self.refuse(world, "miss_rate<=0.02", fit_share=0)

    def test_where_two_promises_exclude_each_other(self, world):
        message = self.refuse(world, "over_refusal<=0.005", "miss_rate<=0.22", fit_share=0)
        assert "exclude each other" in message


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ([], "needs a promise"),
        (["over_refusal<0.01"], "is no promise"),
        (["over_refusal<=1%"], "share between 0 and 1"),
        (["over_refusal<=1"], "share between 0 and 1"),
        (["miss_rate<=0"], "share between 0 and 1"),
        (["miss_rate<=nan"], "share between 0 and 1"),
        (["recall>=0.9"], "is no promise"),
        (["over_refusal.privacy<=0.01"], "no risk type"),
        (["miss_rate.violence<=0.1"], "no type 'violence'"),
        (["miss_rate<=0.1", "miss_rate <= 0.2"], "Two promises bound miss_rate"),
    ],
)
def test_what_is_no_promise_is_named(texts, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_promises(texts)


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"types": {"privacy": {"enabled": False}}}, {}, "privacy switched off"),
        ({"types": {name: {"enabled": False} for name in RISK_TYPES}}, {}, "flags nothing"),
        ({"actions": dict.fromkeys(("low", "medium", "high"), "answer")}, {}, "flags nothing"),
        ({}, {"confidence": 95}, "confidence"),
        ({}, {"fit_share": 1}, "share of the rows"),
    ],
)
def test_a_promise_that_means_nothing_is_refused(changes, options, words, world):
    with pytest.raises(ValueError, match=words):
        guarantee_policy(
            SafetyPolicy.from_dict(changes), world, parse_promises(["miss_rate.privacy<=0.5"]), ORIGIN, **options
        )


def test_rows_of_an_unknown_type_are_in_no_promise_on_one_type(world):
    rows = Rows(world.level_logits, world.type_logits, world.level, np.where(world.type == 4, SOME_RISK, world.type))
    promise, overall = parse_promises(["miss_rate.privacy<=0.5", "miss_rate<=0.5"])
    assert promise.speaks_of(rows, SafetyPolicy()).sum() == 0
    assert overall.speaks_of(rows, SafetyPolicy()).sum() == (world.level > 0).sum()
