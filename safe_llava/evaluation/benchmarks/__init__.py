"""The benchmarks that the field uses, read from the files that their authors publish. None was measured here."""

from .loading import BENCHMARKS, load_benchmark
from .records import InvalidBenchmarkError
from .row import BenchmarkRow


__all__ = ["BENCHMARKS", "BenchmarkRow", "InvalidBenchmarkError", "load_benchmark"]
