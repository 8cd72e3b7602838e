"""What ratings say: how good each system is, which of two is better, and how far raters and a judge agree."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

from ..models.safety_labels import SAFETY_TYPES
from ..statistics import NUM_RESAMPLES
from .estimates import CONFIDENCE, alpha, kappa, mean_estimate, rank_correlation, share_estimate
from .ratings import HIGHEST_SCORE, LOWEST_SCORE, LoadedRatings, Rating


_SCORES = range(LOWEST_SCORE, HIGHEST_SCORE + 1)
_OUTCOMES = (-1, 0, 1)
_TYPES = range(len(SAFETY_TYPES))


def compute_agreement(ratings: LoadedRatings, judges: LoadedRatings | None = None) -> dict[str, Any]:
    """
    Computes all figures of a review.

    The unit of every interval is the sample, for ratings of one sample by several raters are not independent. A
    system's mean is that of the samples' means over raters, with a bootstrap interval. A system wins a
    sample against another where more raters prefer it than the other, and as many are a tie; shares have a Wilson
    interval. Scores give preferences too: the higher one wins.

    Args:
        ratings ([`LoadedRatings`]): people's ratings, from [`load_ratings`].
        judges ([`LoadedRatings`], *optional*): a judge's, or several judges'; only samples that people rated count.

    Returns:
        `dict[str, Any]`, ready for JSON: counts; under `overall` the figures of all samples; under `risk_types` the
        same for the samples of each type, which is that of the file of samples, or else the raters' majority, or
        "undecided". Each figure has `value`, `n` and, where it applies, `interval`. A figure that is undefined has the
        `value` `None` and a `reason`.

        The figures are `systems` (mean scores), `pairs` (win, tie, lose of the first against the second system; the
        mean difference of scores), `kappa` (Cohen's, for each pair of raters), `alpha` (Krippendorff's), and `judges`.

    Raises:
        ValueError: if there is no rating, a judge has the name of a rater, or a sample was rated with different texts.
    """
    judges = judges or LoadedRatings()
    if not ratings.ratings:
        raise ValueError("there is no rating")
    raters, judge_names = _names(ratings.ratings), _names(judges.ratings)
    if both := set(raters) & set(judge_names):
        raise ValueError(f"{', '.join(sorted(both))} is both a rater and a judge; give the judge another name")
    _check_same_texts([*ratings.ratings, *judges.ratings])
    rated = {rating.id for rating in ratings.ratings}
    of_judges = [rating for rating in judges.ratings if rating.id in rated]
    groups = defaultdict(set)
    for sample, risk_type in _risk_types(ratings.ratings).items():
        groups[risk_type].add(sample)
    return {
        "num_samples": len(rated),
        "num_ratings": len(ratings.ratings),
        "num_superseded": ratings.num_superseded,
        "raters": {name: sum(rating.rater == name for rating in ratings.ratings) for name in raters},
        "judges": {name: sum(rating.rater == name for rating in of_judges) for name in judge_names},
        "num_judged_but_not_rated": len({rating.id for rating in judges.ratings} - rated),
        "cut_off_lines": [asdict(line) for line in [*ratings.cut_off_lines, *judges.cut_off_lines]],
        "confidence": CONFIDENCE,
        "num_resamples": NUM_RESAMPLES,
        "overall": _figures(ratings.ratings, of_judges),
        "risk_types": {
            name: _figures(*([r for r in some if r.id in groups[name]] for some in (ratings.ratings, of_judges)))
            for name in [*SAFETY_TYPES, "undecided"]
            if name in groups
        },
    }


@dataclass
class _Units:
    """
    Ratings by what was rated, then by rater.

    Args:
        scores (`dict`): by sample and system.
        outcomes (`dict`): by sample and pair of systems; 1 where the first won, 0 for a tie, -1 where the second won.
        types (`dict`): by sample; positions in `SAFETY_TYPES`.
    """

    scores: dict[tuple[str, str], dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    outcomes: dict[tuple[str, str, str], dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    types: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))

    @classmethod
    def of(cls, ratings: Iterable[Rating]) -> "_Units":
        units = cls()
        for rating in ratings:
            for system, score in (rating.scores or {}).items():
                units.scores[rating.id, system][rating.rater] = score
            for first, second in combinations(sorted(rating.scores or rating.places or {}), 2):
                outcome = rating.outcome(first, second)
                units.outcomes[rating.id, first, second][rating.rater] = outcome
            if rating.risk_type is not None:
                units.types[rating.id][rating.rater] = SAFETY_TYPES.index(rating.risk_type)
        return units


def _figures(ratings: Sequence[Rating], judges: Sequence[Rating]) -> dict[str, Any]:
    units = _Units.of(ratings)
    return {
        "num_samples": len({rating.id for rating in ratings}),
        "num_ratings": len(ratings),
        "systems": _systems(ratings, units),
        "pairs": _pairs(units),
        "kappa": [
            {"raters": [first, second], **_kappas(units, first, second)}
            for first, second in combinations(_names(ratings), 2)
        ],
        "alpha": {
            "scores_ordinal": alpha(units.scores, "ordinal"),
            "scores_interval": alpha(units.scores, "interval"),
            "preference_nominal": alpha(units.outcomes, "nominal"),
            "preference_ordinal": alpha(units.outcomes, "ordinal"),
            "risk_type_nominal": alpha(units.types, "nominal"),
        },
        "judges": {
            name: _judge(name, [rating for rating in judges if rating.rater == name], ratings)
            for name in _names(judges)
        },
    }


def _systems(ratings: Sequence[Rating], units: _Units) -> dict[str, dict[str, Any]]:
    names = sorted({system for rating in ratings for system in rating.scores or rating.places or {}})
    means = _means(units.scores)
    return {
        name: {"mean_score": mean_estimate([mean for (_, system), mean in means.items() if system == name])}
        for name in names
    }


def _pairs(units: _Units) -> list[dict[str, Any]]:
    means = _means(units.scores)
    majorities = _majorities(units)
    pairs = []
    for first, second in sorted({key[1:] for key in units.outcomes}):
        of_samples = {key[0]: outcome for key, outcome in majorities.items() if key[1:] == (first, second)}
        of_ratings = [
            outcome
            for key, values in units.outcomes.items()
            if key[1:] == (first, second)
            for outcome in values.values()
        ]
        both_scored = [sample for sample in of_samples if (sample, first) in means and (sample, second) in means]
        pairs.append(
            {
                "first": first,
                "second": second,
                **{
                    name: share_estimate(list(of_samples.values()).count(outcome), len(of_samples))
                    | {"num_ratings": of_ratings.count(outcome)}
                    for name, outcome in (("win", 1), ("tie", 0), ("lose", -1))
                },
                "score_difference": mean_estimate([means[one, first] - means[one, second] for one in both_scored]),
            }
        )
    return pairs


def _kappas(units: _Units, first: str, second: str) -> dict[str, Any]:
    return {
        "scores": kappa(units.scores, first, second, _SCORES),
        "scores_linear": kappa(units.scores, first, second, _SCORES, "linear"),
        "scores_quadratic": kappa(units.scores, first, second, _SCORES, "quadratic"),
        "preference": kappa(units.outcomes, first, second, _OUTCOMES),
        "preference_linear": kappa(units.outcomes, first, second, _OUTCOMES, "linear"),
        "risk_type": kappa(units.types, first, second, _TYPES),
    }


def _judge(name: str, judgements: Sequence[Rating], ratings: Sequence[Rating]) -> dict[str, Any]:
    """A judge against people's mean scores and majorities, and against each of them."""
    people, judge, both = _Units.of(ratings), _Units.of(judgements), _Units.of([*ratings, *judgements])
    means = _means(people.scores)
    scores = {
        key: {"people": means[key], "judge": values[name]} for key, values in judge.scores.items() if key in means
    }
    by_people, by_judge = ([values[who] for values in scores.values()] for who in ("people", "judge"))
    gaps = defaultdict(list)
    for (sample, _), values in scores.items():
        gaps[sample].append(values["judge"] - values["people"])
    return {
        "num_samples": len({rating.id for rating in judgements}),
        "systems": _systems(judgements, judge),
        "spearman": rank_correlation(by_people, by_judge, "spearman"),
        "kendall": rank_correlation(by_people, by_judge, "kendall"),
        "alpha_interval": alpha(scores, "interval"),
        "score_difference": mean_estimate([_mean(of_sample) for of_sample in gaps.values()]),
        "pairs": _judge_pairs(name, judge, _majorities(people)),
        "kappa": [{"rater": rater, **_kappas(both, rater, name)} for rater in _names(ratings)],
    }


def _judge_pairs(name: str, judge: _Units, majorities: dict[tuple[str, str, str], int]) -> list[dict[str, Any]]:
    pairs: dict[tuple[str, str], dict[str, dict[str, float]]] = defaultdict(dict)
    for key, values in judge.outcomes.items():
        if key in majorities:
            sample, first, second = key
            pairs[first, second][sample] = {"people": majorities[key], "judge": values[name]}
    return [
        {
            "first": first,
            "second": second,
            "same_preference": share_estimate(sum(of["people"] == of["judge"] for of in both.values()), len(both)),
            "kappa": kappa(both, "people", "judge", _OUTCOMES),
        }
        for (first, second), both in sorted(pairs.items())
    ]


def _risk_types(ratings: Sequence[Rating]) -> dict[str, str]:
    """The type of each sample: the one in the file of samples, or else the raters' majority."""
    known: dict[str, str] = {}
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for rating in ratings:
        votes[rating.id].update([rating.risk_type] if rating.risk_type else [])
        if rating.sample_risk_type is not None:
            known[rating.id] = rating.sample_risk_type
    return {sample: known.get(sample) or _majority(counts) for sample, counts in votes.items()}


def _majority(votes: "Counter[str]") -> str:
    (leader, most), *others = [*votes.most_common(2), ("undecided", 0)]
    return "undecided" if not votes or (others[0][1] == most) else leader


def _means(scores: dict[tuple[str, str], dict[str, float]]) -> dict[tuple[str, str], float]:
    return {key: _mean(values.values()) for key, values in scores.items()}


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)


def _majorities(units: _Units) -> dict[tuple[str, str, str], int]:
    """1 where more raters preferred the first system, -1 where more preferred the second, 0 for as many."""
    totals = {key: sum(values.values()) for key, values in units.outcomes.items()}
    return {key: (total > 0) - (total < 0) for key, total in totals.items()}


def _names(ratings: Iterable[Rating]) -> list[str]:
    return sorted({rating.rater for rating in ratings})


def _check_same_texts(ratings: Iterable[Rating]) -> None:
    digests: dict[str, Rating] = {}
    for rating in ratings:
        if rating.sample_digest is None:
            continue
        other = digests.setdefault(rating.id, rating)
        if other.sample_digest != rating.sample_digest:
            raise ValueError(
                f"{other.rater} and {rating.rater} rated sample {rating.id!r} with different questions or outputs; "
                "such ratings cannot be compared"
            )
