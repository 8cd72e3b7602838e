"""What became of the rows of several sets: figures by set, and in words."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from .benchmark_leaks import LeakCounts
from .dataset_report import DatasetReport


_CONTRADICTIONS_NAMED = 5


@dataclass
class SetCounts:
    """
    Where the rows of one set went: what was read is the sum of the others.

    Args:
        name (`str`): the set.
        read (`int`): rows that it has.
        share (`float`, *optional*): its fraction of all rows, as it was asked for.
        bad (`int`): rows that cannot be trained on.
        by_rule (`int`): sound rows that the set's reader leaves out, or that have nothing to learn in this stage.
        beyond (`int`): sound rows behind the first `max_samples`.
        leaks (`int`): rows that a benchmark has.
        duplicates (`int`): rows that were left out since an earlier one shows and asks the same.
        thinned (`int`): rows that its share has no room for.
        used (`int`): rows of the mix.
    """

    name: str
    read: int
    share: float | None = None
    bad: int = 0
    by_rule: int = 0
    beyond: int = 0
    leaks: int = 0
    duplicates: int = 0
    thinned: int = 0
    used: int = 0


@dataclass(frozen=True)
class Contradiction:
    """
    Two rows that show and ask the same, and whose labels cannot both be right.

    Args:
        sets (`tuple[str, str]`): the set of the first, which is kept, and that of the other.
        rows (`tuple[int, int]`): their numbers in their sets, from 1, blank lines not counted.
        labels (`tuple[str, str]`): what each says, as in "none, safe".
        question (`str`): what is asked.
    """

    sets: tuple[str, str]
    rows: tuple[int, int]
    labels: tuple[str, str]
    question: str

    def __str__(self) -> str:
        places = [f"row {row} of {name} ({labels})" for row, name, labels in zip(self.rows, self.sets, self.labels)]
        return f"{places[1]} and {places[0]}: {self.question!r:.80}"


@dataclass
class MixReport:
    """
    How a mix came about.

    Args:
        sets (`list[SetCounts]`): where the rows of each set went.
        duplicates (`dict[tuple[str, str], int]`, *optional*):
            Rows of a second set that show and ask what a row of a first does, by the two, which may be one; `None`
            where nobody looked.
        are_duplicates_kept (`bool`): whether they are in the mix nevertheless.
        contradictions (`list[Contradiction]`): all pairs of them with labels that cannot both be right.
        leaks (`list[LeakCounts]`): what each benchmark has.
        faults (`list[DatasetReport]`): what is wrong with rows, by set.
        in_epoch (`dict[str, int]`, *optional*):
            Rows of an epoch by set, where rows were left out or repeated for a ratio or balance.
    """

    sets: list[SetCounts]
    duplicates: dict[tuple[str, str], int] | None = None
    are_duplicates_kept: bool = False
    contradictions: list[Contradiction] = field(default_factory=list)
    leaks: list[LeakCounts] = field(default_factory=list)
    faults: list[DatasetReport] = field(default_factory=list)
    in_epoch: dict[str, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON has them, without the reports on bad rows and the texts of questions."""
        pairs = self.duplicates
        return {
            "sets": [dataclasses.asdict(of_set) for of_set in self.sets],
            "in_epoch": self.in_epoch,
            "duplicates": None if pairs is None else [{"sets": [*p], "rows": count} for p, count in pairs.items()],
            "duplicates_kept": self.are_duplicates_kept,
            "contradictions": len(self.contradictions),
            "leaks": [dataclasses.asdict(of_benchmark) for of_benchmark in self.leaks],
        }

    def __str__(self) -> str:
        lines = [_describe_set(of_set) for of_set in self.sets]
        for (first, other), count in (self.duplicates or {}).items():
            where = f"within {first}" if first == other else f"of {other} that stand in {first} too"
            lines.append(f"duplicates: {count_rows(count)} {where}{', kept' if self.are_duplicates_kept else ''}")
        if self.contradictions:
            lines.append(
                f"contradictions: {count_rows(len(self.contradictions))} whose labels cannot be right if those of the "
                "first are"
            )
            lines += [f"  {found}" for found in self.contradictions[:_CONTRADICTIONS_NAMED]]
        for leak in self.leaks:
            lines.append(
                f"leaks: {leak.benchmark} has {count_rows(leak.image_and_question)} by image and question, "
                f"{leak.image_only:,} by the image alone ({leak.near:,} of both by a near copy), and "
                f"{leak.question:,} by a question without an image"
            )
        if self.in_epoch is not None:
            lines.append(f"rows of an epoch: {', '.join(f'{n:,} of {name}' for name, n in self.in_epoch.items())}")
        return "\n".join(lines)


def _describe_set(of_set: SetCounts) -> str:
    left_out = {
        "bad": of_set.bad,
        "by rule": of_set.by_rule,
        "beyond `max_samples`": of_set.beyond,
        "in a benchmark": of_set.leaks,
        "already there": of_set.duplicates,
        "beyond its share": of_set.thinned,
    }
    named = ", ".join(f"{count:,} {name}" for name, count in left_out.items() if count)
    return f"{of_set.name}: {of_set.used:,} of {count_rows(of_set.read)}" + (f" ({named} left out)" if named else "")


def count_rows(number: int) -> str:
    """A number of rows in words."""
    return f"{number:,} row{'' if number == 1 else 's'}"
