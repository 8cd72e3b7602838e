"""Where a benchmark lies on the disk."""

from dataclasses import dataclass
from pathlib import Path

from .benchmark_registry import BENCHMARKS


@dataclass(frozen=True)
class BenchmarkSource:
    """
    A benchmark on the disk.

    Args:
        name (`str`): one of [`~safe_llava.evaluation.benchmarks.BENCHMARKS`].
        path (`Path`): where it was downloaded to.
        split (`str`, *optional*): one of its splits.
    """

    name: str
    path: Path
    split: str | None = None

    @classmethod
    def parse(cls, text: str) -> "BenchmarkSource":
        """
        Reads a benchmark as it is named on the command line.

        Args:
            text (`str`): `NAME=PATH` or `NAME:SPLIT=PATH`.

        Returns:
            [`BenchmarkSource`]

        Raises:
            ValueError: if the text is of another form, or nothing is at the path.
        """
        name, _, path = text.partition("=")
        name, _, split = name.partition(":")
        if name not in BENCHMARKS or not path:
            raise ValueError(f"{text!r} is no benchmark: expected NAME=PATH with a name of {', '.join(BENCHMARKS)}.")
        if not Path(path).expanduser().exists():
            raise ValueError(f"{path} does not exist; give the folder that {name} was downloaded to.")
        return cls(name, Path(path).expanduser().resolve(), split or None)

    @property
    def label(self) -> str:
        """Name and split, as results name it."""
        return self.name if self.split is None else f"{self.name}-{self.split}"
