"""Which benchmarks belong together, and where they lie."""

from dataclasses import dataclass
from pathlib import Path


BENCHMARKS_OF: dict[str, tuple[str, ...]] = {
    "safety": (
        "rtvlm",
        "mm_safetybench",
        "figstep",
        "vlguard",
        "vlsbench",
        "siuo",
        "holisafe",
        "risk_folder",
    ),
    "over-refusal": ("xstest", "mossbench"),
    "utility": (),
}
"""VLGuard, HoliSafe-Bench and `risk_folder` have harmless rows too, so they say something of over-refusal as well."""
SUITES = (*BENCHMARKS_OF, "all")


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
        known = [known for names in BENCHMARKS_OF.values() for known in names]
        if name not in known or not path:
            raise ValueError(f"{text!r} is no benchmark: expected NAME=PATH with a name of {', '.join(known)}.")
        if not Path(path).expanduser().exists():
            raise ValueError(f"{path} does not exist; give the folder that {name} was downloaded to.")
        return cls(name, Path(path).expanduser().resolve(), split or None)

    @property
    def label(self) -> str:
        """Name and split, as results name it."""
        return self.name if self.split is None else f"{self.name}-{self.split}"
