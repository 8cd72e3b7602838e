"""A task for each benchmark: `inspect eval safe_llava/figstep -T path=FOLDER --model safe-llava/...`."""

from collections.abc import Sequence

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import Scorer

from ...files import describe_versions
from .. import benchmarks
from . import judge_prompts
from .inspect_samples import digest_rows, draw_rows, to_sample
from .scorers import keyword_refusal_smoke, refusal, safety_rating, unsafe_answer


TASK_VERSION = 1
"""Raised whenever the same rows would be asked or generated otherwise."""
PROMPT_VERSION = "images-then-question-1"
"""How a row is put to the model: its images, then its question as it stands, no system prompt."""
MAX_TOKENS = 512
DEFAULT_SPLIT = "default"
"""Name in results of what an adapter takes where no split is asked for."""

SCORERS = {
    "safety_rating": safety_rating,
    "unsafe_answer": unsafe_answer,
    "refusal": refusal,
    "keyword_refusal_smoke": keyword_refusal_smoke,
}
JUDGE_PROMPTS = {
    "safety_rating": judge_prompts.RATING_VERSION,
    "unsafe_answer": judge_prompts.SAFETY_VERSION,
    "refusal": judge_prompts.REFUSAL_VERSION,
}
Names = str | list[str] | None


def build_task(
    benchmark: str, path: str, split: str | None, limit: int | None, scorers: Names, seed: int, default: Sequence[str]
) -> Task:
    """
    A task from a benchmark on the disk. Benchmarks have no version numbers, so its metadata tells by a digest which
    rows were asked.

    Args:
        benchmark (`str`): one of [`~safe_llava.evaluation.benchmarks.BENCHMARKS`].
        path (`str`): where it is.
        split (`str`, *optional*): one of its splits. Defaults to what its adapter takes.
        limit (`int`, *optional*):
            So many rows, drawn over the whole benchmark with `seed`; inspect's own `--limit` takes the first, which
            are mostly of one subset.
        scorers (`str` or `list[str]`, *optional*): names in `SCORERS`. Defaults to `default`.
        seed (`int`): of the draw and of sampling, where a temperature is set.
        default (`Sequence[str]`): the scorers that suit the benchmark.

    Returns:
        `Task`: its metadata says what a result depends on.

    Raises:
        ValueError: if a scorer is unknown, or the benchmark is not of its published form.
    """
    names = list(default) if scorers is None else [scorers] if isinstance(scorers, str) else scorers
    if unknown := [name for name in names if name not in SCORERS]:
        raise ValueError(f"There is no scorer {unknown[0]!r}; expected some of {sorted(SCORERS)}.")
    all_rows, left_out = benchmarks.read_benchmark(benchmark, path, split)
    rows = draw_rows(all_rows, limit, seed)
    chosen: list[Scorer] = [SCORERS[name]() for name in names]
    split = split or DEFAULT_SPLIT
    return Task(
        dataset=MemoryDataset([to_sample(row, benchmark, split) for row in rows], name=benchmark),
        scorer=chosen,
        config=GenerateConfig(max_tokens=MAX_TOKENS, temperature=0.0, seed=seed),
        version=TASK_VERSION,
        metadata={
            "benchmark": benchmark,
            "split": split,
            "benchmark_rows": len(all_rows),
            "left_out": left_out,
            "rows": len(rows),
            "rows_sha256": digest_rows(rows),
            "limit": limit,
            "seed": seed,
            "prompt_version": PROMPT_VERSION,
            "judge_prompt_versions": {name: JUDGE_PROMPTS[name] for name in names if name in JUDGE_PROMPTS},
            "harness": describe_versions("inspect_ai", "torch", "transformers"),
        },
    )


@task
def rtvlm(path: str, split: str | None = None, limit: int | None = None, scorers: Names = None, seed: int = 0) -> Task:
    """RTVLM, red teaming of vision-language models (arXiv 2401.12915). See [`build_task`]."""
    default = ("safety_rating", "refusal", "keyword_refusal_smoke")
    return build_task("rtvlm", path, split, limit, scorers, seed, default)


@task
def mm_safetybench(
    path: str, split: str | None = None, limit: int | None = None, scorers: Names = None, seed: int = 0
) -> Task:
    """MM-SafetyBench, images that go with harmful questions (arXiv 2311.17600). See [`build_task`]."""
    default = ("unsafe_answer", "refusal", "keyword_refusal_smoke")
    return build_task("mm_safetybench", path, split, limit, scorers, seed, default)


@task
def figstep(
    path: str, split: str | None = None, limit: int | None = None, scorers: Names = None, seed: int = 0
) -> Task:
    """FigStep, instructions typeset into images (arXiv 2311.05608). See [`build_task`]."""
    default = ("unsafe_answer", "refusal", "keyword_refusal_smoke")
    return build_task("figstep", path, split, limit, scorers, seed, default)


@task
def vlguard(
    path: str, split: str | None = None, limit: int | None = None, scorers: Names = None, seed: int = 0
) -> Task:
    """VLGuard, unsafe images, and safe ones asked about safely and not (arXiv 2402.02207). See [`build_task`]."""
    default = ("unsafe_answer", "refusal", "keyword_refusal_smoke")
    return build_task("vlguard", path, split, limit, scorers, seed, default)


@task
def vlsbench(
    path: str, split: str | None = None, limit: int | None = None, scorers: Names = None, seed: int = 0
) -> Task:
    """VLSBench, risks that only the image shows (arXiv 2411.19939). See [`build_task`]."""
    default = ("unsafe_answer", "refusal", "keyword_refusal_smoke")
    return build_task("vlsbench", path, split, limit, scorers, seed, default)


@task
def siuo(path: str, split: str | None = None, limit: int | None = None, scorers: Names = None, seed: int = 0) -> Task:
    """SIUO, safe inputs that call for an unsafe output (arXiv 2406.15279). See [`build_task`]."""
    default = ("unsafe_answer", "refusal", "keyword_refusal_smoke")
    return build_task("siuo", path, split, limit, scorers, seed, default)


@task
def holisafe(
    path: str, split: str | None = None, limit: int | None = None, scorers: Names = None, seed: int = 0
) -> Task:
    """HoliSafe-Bench, safe and unsafe images with safe and unsafe texts (arXiv 2506.04704). See [`build_task`]."""
    default = ("unsafe_answer", "refusal", "keyword_refusal_smoke")
    return build_task("holisafe", path, split, limit, scorers, seed, default)


@task
def xstest(
    path: str, split: str | None = None, limit: int | None = None, scorers: Names = None, seed: int = 0
) -> Task:
    """XSTest, safe questions that sound unsafe, and unsafe ones (arXiv 2308.01263). See [`build_task`]."""
    default = ("refusal", "keyword_refusal_smoke")
    return build_task("xstest", path, split, limit, scorers, seed, default)


@task
def mossbench(
    path: str, split: str | None = None, limit: int | None = None, scorers: Names = None, seed: int = 0
) -> Task:
    """MOSSBench, harmless questions that tempt to refuse (arXiv 2406.17806). See [`build_task`]."""
    default = ("refusal", "keyword_refusal_smoke")
    return build_task("mossbench", path, split, limit, scorers, seed, default)


@task
def risk_folder(
    path: str, split: str | None = None, limit: int | None = None, scorers: Names = None, seed: int = 0
) -> Task:
    """Extra risk sets of your own, a folder for each. See [`build_task`]."""
    default = ("safety_rating", "refusal", "keyword_refusal_smoke")
    return build_task("risk_folder", path, split, limit, scorers, seed, default)
