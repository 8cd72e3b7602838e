"""One evaluation of a SafeLLaVA beside its base: safety, over-refusal and utility, kept and resumed, in one result."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checkpoints import default_device, identify_checkpoint
from ..files import describe_machine, describe_versions, write_json
from .benchmarks import BenchmarkSource
from .lmms.run_utility import TASKS, run_utility
from .suites import BENCHMARKS_OF, SUITES


NO_JUDGE = "none"
SMOKE_SCORER = "keyword_refusal_smoke"
RESULTS_FILE = "results.json"


def run_evaluation(
    suites: str | Sequence[str],
    model: str | os.PathLike,
    base: str | os.PathLike,
    output_dir: str | os.PathLike,
    benchmarks: Sequence[BenchmarkSource] = (),
    judge: str | None = None,
    safety_policy: Mapping[str, Any] | None = None,
    limit: int | None = None,
    seed: int = 0,
    batch_size: int = 8,
    device: str | None = None,
    dtype: str = "auto",
    utility_tasks: Sequence[str] = TASKS,
    include_path: str | os.PathLike | None = None,
) -> dict[str, Any]:
    """
    Asks a SafeLLaVA and its base the same questions, through the same code, one after the other. Run again with the
    same `output_dir`, it goes on where it was; batch size and device may be others then.

    Args:
        suites (`str` or `Sequence[str]`): some of `"safety"`, `"over-refusal"`, `"utility"` and `"all"`.
        model (`str` or `os.PathLike`): a SafeLLaVA, a folder or a Hub id.
        base (`str` or `os.PathLike`): the LLaVA to compare with.
        output_dir (`str` or `os.PathLike`): gets `results.json`, and the logs under `model`, `base` and `utility`.
        benchmarks (`Sequence[BenchmarkSource]`, *optional*): those of the suites that are at hand.
        judge (`str`, *optional*):
            inspect's name of a model that sees images, such as `"openai/gpt-4o"`. `"none"` asks no judge, and gives
            a smoke figure alone.
        safety_policy (`Mapping`, *optional*): fields to change in the model's policy.
        limit (`int`, *optional*): so many rows of each benchmark, drawn with `seed`; the first ones of utility tasks.
        seed (`int`, *optional*, defaults to 0): of the draw.
        batch_size (`int`, *optional*, defaults to 8): prompts in one `generate`.
        device (`str`, *optional*): such as `"cuda:0"`. Defaults to the first accelerator, else the CPU.
        dtype (`str`, *optional*, defaults to `"auto"`): of the weights; `"auto"` keeps the checkpoints'.
        utility_tasks (`Sequence[str]`, *optional*): lmms-eval's names.
        include_path (`str` or `os.PathLike`, *optional*): a folder with lmms-eval task files of your own.

    Returns:
        `dict`, also written to `results.json`: `suites`, `model`, `base`, `judge`, `safety_policy`, `limit`, `seed`,
        `versions`, `machine`; `benchmarks`, by name what [`~safe_llava.evaluation.inspect.compare_logs.compare_logs`]
        gives; and `utility`, what [`~safe_llava.evaluation.lmms.run_utility.run_utility`] gives, or `None`.

    Raises:
        ValueError: if a suite has no benchmark, a benchmark is of another suite, there is no judge, or `output_dir`
            holds results with other settings.
        ChildProcessError: if an evaluation did not run to its end.
    """
    parts = _split(suites)
    _check(parts, benchmarks, judge)
    output_dir = Path(output_dir).resolve()
    results: dict[str, Any] = {
        "suites": parts,
        "model": identify_checkpoint(model),
        "base": identify_checkpoint(base),
        "judge": judge,
        "safety_policy": None if safety_policy is None else dict(safety_policy),
        "limit": limit,
        "seed": seed,
        "versions": describe_versions("torch", "transformers"),
        "machine": describe_machine(device or default_device()),
        "benchmarks": {},
        "utility": None,
    }
    if "utility" in parts:
        results["utility"] = run_utility(
            model,
            base,
            utility_tasks,
            output_dir / "utility",
            results["safety_policy"],
            batch_size,
            limit,
            device,
            dtype,
            include_path,
        )
    if benchmarks:
        from .inspect.compare_logs import compare_logs
        from .inspect.run_benchmarks import run_benchmarks

        task_args = {"limit": limit, "seed": seed, "scorers": SMOKE_SCORER if judge == NO_JUDGE else None}
        logs = {
            label: run_benchmarks(
                results[label],
                benchmarks,
                task_args,
                output_dir / label,
                judge=None if judge == NO_JUDGE else judge,
                safety_policy=results["safety_policy"] if label == "model" else None,
                batch_size=batch_size,
                device=device,
                dtype=dtype,
            )
            for label in ("model", "base")
        }
        results["benchmarks"] = {name: compare_logs(log, logs["base"][name]) for name, log in logs["model"].items()}
    write_json(output_dir / RESULTS_FILE, results)
    return results


def _split(suites: str | Sequence[str]) -> list[str]:
    """The parts of an evaluation, each once."""
    named = [suites] if isinstance(suites, str) else list(suites)
    if unknown := [suite for suite in named if suite not in SUITES]:
        raise ValueError(f"There is no suite {unknown[0]!r}; there are {', '.join(SUITES)}.")
    return [part for part in BENCHMARKS_OF if part in named or "all" in named]


def _check(parts: Sequence[str], benchmarks: Sequence[BenchmarkSource], judge: str | None) -> None:
    labels = [source.label for source in benchmarks]
    if repeated := [label for label in labels if labels.count(label) > 1]:
        raise ValueError(f"The benchmark {repeated[0]} is given twice.")
    wanted = {part: BENCHMARKS_OF[part] for part in parts if BENCHMARKS_OF[part]}
    for source in benchmarks:
        if not any(source.name in names for names in wanted.values()):
            raise ValueError(f"{source.name} is in no suite of {', '.join(parts)}; add its suite, or leave it out.")
    for part, names in wanted.items():
        if not any(source.name in names for source in benchmarks):
            raise ValueError(
                f"The suite {part!r} has no benchmark. Say where those that you downloaded are, for example "
                f"{names[0]}=PATH; there are {', '.join(names)}."
            )
    if benchmarks and judge is None:
        raise ValueError(
            "No judge is named. Name a model that sees images, such as 'openai/gpt-4o', or 'none' for a smoke "
            "figure alone."
        )
