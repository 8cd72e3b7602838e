"""
Utility benchmarks by lmms-eval: each task in a process of its own, checked, and kept.

lmms-eval ends with exit code 0 after a crash, so a task counts as done only when its results file is there, is of this
run and has every sample.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from ...checkpoints import identify_checkpoint
from ...files import check_settings, describe_versions, fingerprint, read_json, write_json
from ...models.safety_policy import SafetyPolicy
from ...statistics import sum_of_means_interval
from .utility_scores import difference, read_figures, right_answers, sum_of_means, unit_values


TASKS = ("mme", "mmbench_en_dev_static", "seedbench", "pope")
JUDGED_TASKS = {"mmbench_en_dev": "mmbench_en_dev_static"}
"""Tasks that ask a judge, and score a random guess where it does not reply, with the same task by rules alone."""
ACTIONS = ("answer", "hint", "refuse")
REQUESTS_FILE, POLICY_FILE, LOG_FILE, RESULT_FILE = "requests.jsonl", "policy.json", "log.txt", "utility.json"


def run_utility(
    model: str | os.PathLike,
    base: str | os.PathLike | None = None,
    tasks: Sequence[str] = TASKS,
    output_dir: str | os.PathLike = "utility",
    safety_policy: SafetyPolicy | dict[str, Any] | Literal[False] | None = None,
    batch_size: int = 8,
    limit: int | None = None,
    device: str | None = None,
    dtype: str = "auto",
    include_path: str | os.PathLike | None = None,
) -> dict[str, Any]:
    """
    Runs lmms-eval tasks on a model, and on its base through the same code.

    A task whose result is in `output_dir` with the same settings is not run again. Settings are the model with its
    files, the policy, the task with the files of `include_path`, `limit`, `dtype` and the versions of the packages.

    Args:
        model (`str` or `os.PathLike`): a SafeLLaVA, a folder or a Hub id.
        base (`str` or `os.PathLike`, *optional*): the LLaVA to compare with.
        tasks (`Sequence[str]`, *optional*):
            Names of lmms-eval tasks. Defaults to MME, MMBench (English, dev, without a judge), SEED-Bench and POPE.
        output_dir (`str` or `os.PathLike`, *optional*, defaults to `"utility"`):
            Gets a folder for each task under `model` and `base`: results, samples, requests, log and `utility.json`.
        safety_policy ([`SafetyPolicy`], `dict` or `False`, *optional*):
            The policy of `model`; a dictionary changes parts of the checkpoint's, `False` turns it off.
        batch_size (`int`, *optional*, defaults to 8): questions in one `generate`.
        limit (`int`, *optional*): take the first so many questions of each task; for trying things out.
        device (`str`, *optional*): such as `"cuda:0"`. Defaults to the first accelerator, else the CPU.
        dtype (`str`, *optional*, defaults to `"auto"`): of the weights; `"auto"` keeps the checkpoint's.
        include_path (`str` or `os.PathLike`, *optional*): a folder with task files of your own.

    Returns:
        `dict`: `model` and `base`, each with a dictionary for each task:

        - `figures`: for each figure `value`, `stderr` (`None` where unknown) and `higher_is_better`;
        - `samples`: number of questions;
        - `policy`: for each of "answer", "hint" and "refuse" the number of `samples` and the share of them that is
          `right` (`None` where there are none, or where the task has no right and wrong);
        - `overlong`: questions longer than the context of the language model;
        - `prompt_tokens`, `new_tokens`, and `seconds` of generation;
        - `settings` and `folder`.

        With a base also `difference`: for each task and each figure that is a mean, `value` (model minus base), and
        `stderr` and `interval` (95 %, bootstrap) of the paired difference.

    Raises:
        ModuleNotFoundError: if lmms-eval is not installed.
        ChildProcessError: if a task did not run to its end, with the task and the last lines of its log.
        ValueError: if a task needs a judge, a model has a name that lmms-eval cannot read, `output_dir` holds a result
            with other settings, or model and base were asked different questions.
    """
    if importlib.util.find_spec("lmms_eval") is None:
        raise ModuleNotFoundError(
            "lmms-eval is missing. Install it: pip install 'safe-llava[utility]' && "
            "pip install --no-deps lmms-eval==0.7.3",
            name="lmms_eval",
        )
    for task in tasks:
        if task in JUDGED_TASKS:
            raise ValueError(
                f"{task} scores a random guess where its judge does not reply. Take {JUDGED_TASKS[task]!r}: the same "
                "questions, and rules in place of the judge."
            )
    if isinstance(safety_policy, SafetyPolicy):
        safety_policy = safety_policy.to_dict()
    plans = [("model", str(model), safety_policy)] + ([] if base is None else [("base", str(base), None)])
    results: dict[str, Any] = {}
    for label, checkpoint, policy in plans:
        settings = _read_settings(checkpoint, policy, limit, dtype, include_path)
        results[label] = {
            task: _run_once(Path(output_dir).resolve() / label / task, settings | {"task": task}, batch_size, device)
            for task in tqdm(tasks, desc=f"utility of the {label}")
        }
    if base is not None:
        results["difference"] = {
            task: compare_runs(Path(results["model"][task]["folder"]), Path(results["base"][task]["folder"]))
            for task in tasks
        }
    return results


def read_samples(folder: str | os.PathLike) -> list[dict[str, Any]]:
    """
    The samples of a task that was run.

    Args:
        folder (`str` or `os.PathLike`): the `folder` of its result.

    Returns:
        `list[dict]`: a dictionary for each question, as lmms-eval wrote it.
    """
    return _read_lines(_only_file(Path(folder), "*_samples_*.jsonl"))


def compare_runs(model_folder: Path, base_folder: Path) -> dict[str, dict[str, Any]]:
    """
    The paired difference of each figure that is a mean.

    Args:
        model_folder, base_folder (`Path`): of two runs of one task.

    Returns:
        `dict`: for each figure `value`, `stderr` and `interval` (95 %).

    Raises:
        ValueError: if the two were asked different questions.
    """
    ours, theirs = read_samples(model_folder), read_samples(base_folder)
    for sample, other in zip(ours, theirs, strict=True):
        if any(sample[name] != other[name] for name in ("doc_id", "input", "target")):
            raise ValueError(
                f"{model_folder} and {base_folder} cannot be compared: document {sample['doc_id']} is not the same "
                "question. Run both again into a new folder."
            )
    base_units = unit_values(theirs)
    found: dict[str, dict[str, Any]] = {}
    for figure, units in unit_values(ours).items():
        paired = difference(units, base_units[figure])
        value, stderr = sum_of_means(paired)
        interval = sum_of_means_interval([list(stratum.values()) for stratum in paired.values()])
        found[figure] = {"value": value, "stderr": stderr, "interval": interval}
    return found


def _read_settings(
    checkpoint: str,
    safety_policy: dict[str, Any] | Literal[False] | None,
    limit: int | None,
    dtype: str,
    include_path: str | os.PathLike | None,
) -> dict[str, Any]:
    identity = identify_checkpoint(checkpoint)
    if wrong := sorted(set(identity["model"]) & set(",'\"[]{}")):
        raise ValueError(f"lmms-eval cannot read {wrong[0]!r} in the name of a model: rename {identity['model']}.")
    return {
        **identity,
        "safety_policy": safety_policy,
        "limit": limit,
        "dtype": dtype,
        "include_path": None if include_path is None else str(Path(include_path).resolve()),
        "include_files": None if include_path is None else fingerprint(Path(include_path)),
        "versions": describe_versions("lmms_eval", "torch", "transformers"),
    }


def _run_once(folder: Path, settings: dict[str, Any], batch_size: int, device: str | None) -> dict[str, Any]:
    """The result in `folder`, which is run first if it is not there."""
    result_file = folder / RESULT_FILE
    if result_file.is_file():
        result = read_json(result_file)
        check_settings(folder, result["settings"], settings)
        return result | {"folder": str(folder)}
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    command = _build_command(partial, settings, batch_size, device)
    with open(partial / LOG_FILE, "w", encoding="utf-8") as log:
        # Run in its folder, lest modules of the user's folder be imported in place of installed ones.
        subprocess.run(command, cwd=partial, stdout=log, stderr=subprocess.STDOUT, check=False)
    try:
        result = _read_run(partial, settings, command[command.index("--model_args") + 1])
    except (OSError, ValueError) as error:
        lines = (partial / LOG_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
        raise ChildProcessError(
            f"{settings['task']} did not run to its end on {settings['model']}: {error}. The end of "
            f"{partial / LOG_FILE}:\n" + "\n".join(lines[-20:])
        ) from error
    write_json(partial / RESULT_FILE, result)
    partial.rename(folder)
    return result | {"folder": str(folder)}


def _build_command(folder: Path, settings: dict[str, Any], batch_size: int, device: str | None) -> list[str]:
    model_args = f"pretrained={settings['model']},dtype={settings['dtype']},requests_file={REQUESTS_FILE}"
    if settings["safety_policy"] is False:
        model_args += ",safety_policy=false"
    elif settings["safety_policy"] is not None:
        write_json(folder / POLICY_FILE, settings["safety_policy"])
        model_args += f",safety_policy={POLICY_FILE}"
    options: dict[str, Any] = {
        "--model": "safe_llava",
        "--model_args": model_args,
        "--tasks": settings["task"],
        "--batch_size": batch_size,
        "--output_path": folder,
        "--limit": settings["limit"],
        "--device": device,
        "--include_path": settings["include_path"],
    }
    chosen = [str(part) for option in options.items() if option[1] is not None for part in option]
    return [sys.executable, "-m", "lmms_eval", *chosen, "--log_samples"]


def _read_run(folder: Path, settings: dict[str, Any], model_args: str) -> dict[str, Any]:
    task = settings["task"]
    results = read_json(_only_file(folder, "*_results.json"))
    if results["config"]["model_args"] != model_args or list(results["results"]) != [task]:
        raise ValueError("the results file is of another run")
    samples, requests = read_samples(folder), _read_lines(folder / REQUESTS_FILE)
    size = results["n-samples"][task]["original"]
    expected = set(range(size if settings["limit"] is None else min(size, settings["limit"])))
    for name, rows in (("samples", samples), ("requests", requests)):
        if len(rows) != len(expected) or {row["doc_id"] for row in rows} != expected:
            raise ValueError(f"there are {len(rows)} {name} for {len(expected)} questions")
    rights = right_answers(samples)
    policy = {}
    for action in ACTIONS:
        chosen = [row["doc_id"] for row in requests if row["action"] == action]
        is_scored = bool(chosen) and rights is not None
        policy[action] = {
            "samples": len(chosen),
            "right": sum(rights[doc_id] for doc_id in chosen) / len(chosen) if rights and is_scored else None,
        }
    return {
        "figures": read_figures(results, task, samples),
        "samples": len(samples),
        "policy": policy,
        "overlong": sum(row["is_overlong"] for row in requests),
        "prompt_tokens": sum(row["prompt_tokens"] for row in requests),
        "new_tokens": sum(row["new_tokens"] for row in requests),
        "seconds": results["throughput"]["total_elapsed_time"],
        "settings": settings,
    }


def _only_file(folder: Path, pattern: str) -> Path:
    """lmms-eval names its files by date, in a folder named by the model; MMBench adds files without a date."""
    files = list(folder.glob(f"*/[0-9]{pattern}"))
    if len(files) != 1:
        raise FileNotFoundError(f"there are {len(files)} files {pattern}, and one was expected")
    return files[0]


def _read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
