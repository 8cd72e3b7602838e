"""The model card of a SafeLLaVA, filled from its config, its figures and the record of its training."""

import os
import re
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from transformers import AutoConfig, PreTrainedConfig
from transformers.utils import cached_file

from .files import MODEL_CARDS, read_json
from .models.safety_guarantee import guarantee_in_force
from .models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES


TAG = "safe_llava"
MODEL_ID = "org/safe-llava"
"""Stands in for the repository's name until the checkpoint is pushed."""

EVALUATION_FILE = "evaluation.json"
"""What `safe-llava evaluate --card` leaves beside a checkpoint."""
ATTACKS_FILE = "attacks.json"
"""What `safe-llava attack --card` leaves beside a checkpoint."""
TASK_TYPE = "image-text-to-text"
SYNTHETIC = ("safe_llava/synthetic-scenes", "Synthetic scenes of safe_llava.miniature")
"""The Hub's type and name of the data that quickstart measures on."""

STAGES = {"base": "base", "stage1": "stage 1", "stage2": "stage 2"}
METRICS = {
    "unsafe_answer_rate": "unsafe answers on risky images",
    "over_refusal_rate": "over-refusal on look-alikes",
    "harmless_accuracy": "accuracy on harmless questions",
    "level_accuracy": "accuracy of the risk level",
    "type_macro_f1": "macro-F1 of the risk type",
}
_ACTIONS = {
    "answer": "answered as the base would",
    "hint": "answered after a hint of that level and type, put behind the question",
    "refuse": "refused, without a step of the language model",
}


def build_model_card(
    config: PreTrainedConfig,
    metrics: dict[str, Any] | None = None,
    *,
    evaluation: dict[str, Any] | None = None,
    attacks: dict[str, Any] | None = None,
    base_model: str | None = None,
    license: str | None = None,
    data: str | None = None,
    training: dict[str, Any] | None = None,
    model_id: str = MODEL_ID,
    measured_on: tuple[str, str] = SYNTHETIC,
) -> ModelCard:
    """
    Fills `model_cards/safe_llava.md`. What is not known is said to be unknown.

    Args:
        config ([`~transformers.PreTrainedConfig`]): the model's configuration, with its policy.
        metrics (`dict`, *optional*):
            Figures as in quickstart's `metrics.json`: `base`, `stage1` and `stage2` with fractions and their
            `intervals`, and optionally `data`, `seed`, `versions`, `machine` and `seconds`.
        evaluation (`dict`, *optional*): an `evaluation.json` of `safe-llava evaluate --card`.
        attacks (`dict`, *optional*): an `attacks.json` of `safe-llava attack --card`.
        base_model (`str`, *optional*): Hub id of the LLaVA that it was made from.
        license (`str`, *optional*): licence of the weights, the base's as a rule, as the Hub spells it.
        data (`str`, *optional*): what it was trained and measured on; say "synthetic" where it is. Defaults to
            `metrics["data"]`.
        training (`dict`, *optional*): a `trainer_state.json` of the last stage.
        model_id (`str`, *optional*): repository or folder for the loading example.
        measured_on (`tuple[str, str]`, *optional*):
            The Hub's type and name of the rows behind `metrics`. Defaults to the miniature's scenes.

    Returns:
        [`~huggingface_hub.ModelCard`]
    """
    metrics = metrics or {}
    stages = [stage for stage in STAGES if metrics.get(stage)]
    card_data = ModelCardData(
        base_model=base_model,
        license=license,
        library_name="transformers",
        pipeline_tag=TASK_TYPE,
        tags=[TAG, "llava", "safety", "vision-language-model", "arxiv:2405.13581", "arxiv:2411.11543"],
        model_name=model_id.rpartition("/")[2],
        eval_results=[*_own_results(metrics, stages, measured_on), *_evaluated_results(evaluation)] or None,
    )
    return ModelCard.from_template(
        card_data,
        template_path=str(MODEL_CARDS / "safe_llava.md"),
        base_model=base_model,
        license=license,
        model_id=model_id,
        config=config,
        levels=SAFETY_LEVELS,
        types=SAFETY_TYPES,
        policy=config.safety_policy,
        guarantee=guarantee_in_force(config),
        actions=_ACTIONS,
        training=_summarize_training(training),
        data=data or metrics.get("data"),
        stages=[STAGES[stage] for stage in stages],
        figures=_tabulate(metrics, stages) if stages else None,
        environment=_describe_run(metrics),
        evaluation=evaluation,
        attacks=attacks,
    )


def write_model_card(
    folder: str | os.PathLike,
    metrics: dict[str, Any] | None = None,
    *,
    source: str | os.PathLike | None = None,
    **facts: Any,
) -> Path:
    """
    Writes the `README.md` of a checkpoint folder, where `model.push_to_hub` finds it.

    Args:
        folder (`str` or `os.PathLike`):
            The checkpoint. Its `trainer_state.json`, `evaluation.json` and `attacks.json` are put into the card where
            there are any.
        metrics (`dict`, *optional*): see [`build_model_card`]. Defaults to the folder's `metrics.json`.
        source (`str` or `os.PathLike`, *optional*):
            The checkpoint that this one was trained from. Base model and licence are taken from its card; without it,
            from the card that the folder has so far.
        facts (`dict`, *optional*): other arguments of [`build_model_card`].

    Returns:
        `Path`: the card.
    """
    folder = Path(folder)
    known = read_model_card(folder if source is None else source)
    if known is not None:
        facts = {"base_model": known.data.base_model, "license": known.data.license, **facts}
    card = build_model_card(
        AutoConfig.from_pretrained(folder),
        metrics or read_json(folder / "metrics.json"),
        **{
            "training": read_json(folder / "trainer_state.json"),
            "evaluation": read_json(folder / EVALUATION_FILE),
            "attacks": read_json(folder / ATTACKS_FILE),
            **facts,
        },
    )
    card.save(folder / "README.md")
    return folder / "README.md"


def refresh_policy_section(folder: Path) -> None:
    """Writes what the card of a checkpoint folder says of its policy anew, where it has a card; all else stays."""
    path = folder / "README.md"
    if not path.is_file():
        return
    card, section = (
        ModelCard.load(path, ignore_metadata_errors=True),
        re.compile(r"(?s)## Safety policy\n.*?(?=\n## )"),
    )
    new = section.search(build_model_card(AutoConfig.from_pretrained(folder)).text)
    if new is not None and section.search(card.text) is not None:
        card.text = section.sub(lambda _: new[0], card.text, count=1)
        card.save(path)


def read_model_card(checkpoint: str | os.PathLike) -> ModelCard | None:
    """
    Reads the card of a checkpoint.

    Args:
        checkpoint (`str` or `os.PathLike`): a folder or a Hub id.

    Returns:
        [`~huggingface_hub.ModelCard`], or `None` where the checkpoint has none.
    """
    try:
        path = cached_file(str(checkpoint), "README.md")
    except OSError:  # What transformers raises where there is no such file or checkpoint.
        return None
    return ModelCard.load(path, ignore_metadata_errors=True)


def _summarize_training(state: dict[str, Any] | None) -> dict[str, Any] | None:
    """Steps, epochs and the last figures that the trainer logged, from a `trainer_state.json`."""
    if state is None:
        return None
    logs = [log for log in state["log_history"] if "loss" in log]
    last_log = logs[-1] if logs else {}
    figures = {name: value for name, value in last_log.items() if name not in ("step", "epoch")}
    return {"global_step": state["global_step"], "epoch": state["epoch"], "last_log": figures}


def _tabulate(metrics: dict[str, Any], stages: list[str]) -> list[tuple[str, list[str]]]:
    return [(label, [_format(metrics[stage], name) for stage in stages]) for name, label in METRICS.items()]


def _own_results(metrics: dict[str, Any], stages: list[str], measured_on: tuple[str, str]) -> list[EvalResult]:
    """Quickstart's figures of the last stage, for the Hub."""
    figures = metrics[stages[-1]] if stages else {}
    return [
        EvalResult(
            task_type=TASK_TYPE,
            dataset_type=measured_on[0],
            dataset_name=measured_on[1],
            metric_type=name,
            metric_name=label,
            metric_value=figures[name],
        )
        for name, label in METRICS.items()
        if figures.get(name) is not None
    ]


def _evaluated_results(evaluation: dict[str, Any] | None) -> list[EvalResult]:
    return [
        EvalResult(
            task_type=TASK_TYPE,
            dataset_type=figure["dataset"],
            dataset_name=figure["dataset"],
            dataset_split=figure["split"],
            dataset_args={"rows": figure["rows"]},
            metric_type=figure["metric"],
            metric_name=figure["name"],
            metric_value=figure["value"],
        )
        for figure in (evaluation or {"figures": []})["figures"]
    ]


def _format(figures: dict[str, Any], name: str) -> str:
    value, interval = figures.get(name), figures.get("intervals", {}).get(name)
    if value is None:
        return "-"
    return f"{value:.1%}" if interval is None else f"{value:.1%} [{interval[0]:.1%}, {interval[1]:.1%}]"


def _describe_run(metrics: dict[str, Any]) -> str:
    versions = [f"{name} {version}" for name, version in metrics.get("versions", {}).items()]
    parts = {
        "Seed": metrics.get("seed"),
        "Seconds": metrics.get("seconds"),
        "Machine": metrics.get("machine"),
        "Versions": ", ".join(versions) or None,
    }
    return " ".join(f"{name}: {value}." for name, value in parts.items() if value is not None)
