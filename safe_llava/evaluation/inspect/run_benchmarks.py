"""Runs a benchmark's task on one model into a folder of its own, or goes on with what the folder holds."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from inspect_ai import Task, eval_set
from inspect_ai.log import EvalLog, read_eval_log
from inspect_ai.model import Model, get_model

from ...files import check_settings, read_json, write_json
from ..benchmarks import BenchmarkSource
from . import entry_point, tasks  # noqa: F401  (the entry point registers the provider)
from .provider import SafeLlavaAPI


SETTINGS_FILE = "settings.json"


def run_benchmarks(
    checkpoint: Mapping[str, Any],
    benchmarks: Sequence[BenchmarkSource],
    task_args: Mapping[str, Any],
    folder: Path,
    *,
    judge: str | None,
    safety_policy: Mapping[str, Any] | None,
    batch_size: int,
    device: str | None,
    dtype: str,
) -> dict[str, EvalLog]:
    """
    Runs benchmarks on one checkpoint, which is loaded once, and not at all where everything is finished.

    Args:
        checkpoint (`Mapping`): of [`~safe_llava.checkpoints.identify_checkpoint`].
        benchmarks (`Sequence[BenchmarkSource]`): what to ask.
        task_args (`Mapping`): arguments of every task.
        folder (`Path`): gets a folder for each benchmark.
        judge, safety_policy, batch_size, device, dtype:
            See [`~safe_llava.evaluation.run_evaluation.run_evaluation`].

    Returns:
        `dict[str, EvalLog]`: the logs by the benchmarks' labels.
    """
    model_args: dict[str, Any] = {"dtype": dtype}
    if safety_policy is not None:
        model_args["safety_policy"] = dict(safety_policy)
    model = get_model(f"safe-llava/{checkpoint['model']}", memoize=False, **model_args)
    api = cast(SafeLlavaAPI, model.api)
    api.run_on(device, batch_size)
    try:
        return {
            source.label: run_task(
                getattr(tasks, source.name)(path=str(source.path), split=source.split, **task_args),
                model,
                judge,
                folder / source.label,
                {**checkpoint, **model_args, "path": str(source.path)},
            )
            for source in benchmarks
        }
    finally:
        api.close()


def run_task(task: Task, model: Model, judge: str | None, folder: Path, settings: dict[str, Any]) -> EvalLog:
    """
    Evaluates a model. A run that was stopped goes on with the samples that are left, one that is finished is read.

    Args:
        task (`Task`): one of [`~safe_llava.evaluation.inspect.tasks`].
        model (`Model`): who answers.
        judge (`str`, *optional*): inspect's name of the model that has the role of the judge.
        folder (`Path`): gets the log, and `settings.json`.
        settings (`dict`): ready for JSON; what the result depends on beyond the task.

    Returns:
        `EvalLog`: the finished log, without its samples.

    Raises:
        ValueError: if the folder holds a result with other settings.
        ChildProcessError: if a sample failed, naming the first and where the log is.
    """
    settings = json.loads(json.dumps({**settings, "judge": judge, **(task.metadata or {})}))
    settings_file = folder / SETTINGS_FILE
    if settings_file.is_file():
        check_settings(folder, read_json(settings_file), settings)
    write_json(settings_file, settings)
    is_finished, logs = eval_set(
        task,
        log_dir=str(folder),
        model=model,
        model_roles={} if judge is None else {"grader": judge},
        log_images=True,  # for a second judge
        log_dir_allow_dirty=True,
        retry_attempts=0,
        retry_immediate=False,
        ctl_server=False,
        display="rich" if sys.stdout.isatty() else "log",
    )
    if not is_finished:
        errors = [sample.error.message for sample in read_eval_log(logs[0].location).samples or [] if sample.error]
        error = errors[0] if errors else logs[0].error.message if logs[0].error else f"its status is {logs[0].status}"
        raise ChildProcessError(
            f"{task.dataset.name} did not run to its end on {model.name}: {error}. The log is {logs[0].location}; run "
            "again to go on."
        )
    return logs[0]
