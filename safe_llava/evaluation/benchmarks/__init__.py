"""The benchmarks that the field uses, read from the files that their authors publish. None was measured here."""

from ...data.sources.published_tables import PublishedFileError as InvalidBenchmarkError
from .benchmark_registry import BENCHMARKS, load_benchmark, read_benchmark
from .benchmark_row import BenchmarkRow
from .benchmark_source import BenchmarkSource


__all__ = [
    "BENCHMARKS",
    "BenchmarkRow",
    "BenchmarkSource",
    "InvalidBenchmarkError",
    "load_benchmark",
    "read_benchmark",
]
