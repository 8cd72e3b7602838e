"""One run of attacks on a model: every outcome kept at once, gone on with where it was, all figures in one result."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, ProcessorMixin

from ...checkpoints import default_device, identify_checkpoint, load_safe_llava, read_any_config, require_device
from ...files import check_settings, describe_machine, describe_versions, read_json, write_json
from ...models.safety_configuration import SAFE_MODEL_TYPES
from ...world import World
from .attack import Attack
from .attack_figures import tabulate
from .attack_page import NUM_EXAMPLES, keep_example_images, write_attack_page
from .attack_reply import AttackReply
from .attack_row import draw_risky_rows
from .attack_suites import ALL, build_attacks, split_suites
from .attack_target import AttackTarget
from .attack_trials import try_attacks
from .outcome_log import OutcomeLog


RESULTS_FILE = "results.json"
OUTCOMES_FILE = "outcomes.jsonl"
SETTINGS_FILE = "settings.json"


def run_attacks(
    model: str | os.PathLike,
    output_dir: str | os.PathLike,
    world: World,
    suites: Sequence[str] = (ALL,),
    num_rows: int = 100,
    seed: int = 0,
    steps: int = 40,
    restarts: int = 2,
    safety_policy: Mapping[str, Any] | None = None,
    batch_size: int = 16,
    device: str | None = None,
    dtype: str = "auto",
) -> dict[str, Any]:
    """
    Attacks a model on the risky rows of a world. Run again with the same `output_dir`, it goes on where it was;
    suites, batch size and device may be others then.

    Args:
        model (`str` or `os.PathLike`): a LLaVA with or without safety modules, a folder or a Hub id.
        output_dir (`str` or `os.PathLike`): gets `results.json`, `outcomes.jsonl` and `examples.html`.
        world ([`~safe_llava.world.World`]): draws the rows and reads the answers.
        suites (`Sequence[str]`, *optional*): see [`~safe_llava.evaluation.attacks.attack_suites.SUITES`].
        num_rows (`int`, *optional*, defaults to 100): risky rows to attack.
        seed (`int`, *optional*, defaults to 0): of the rows and of what attacks draw.
        steps (`int`, *optional*, defaults to 40): steps of each descent.
        restarts (`int`, *optional*, defaults to 2): random starts of each descent.
        safety_policy (`Mapping`, *optional*): fields to change in the model's policy.
        batch_size (`int`, *optional*, defaults to 16): rows in one call of the model.
        device (`str`, *optional*): such as `"cuda:0"`. Defaults to the first accelerator, else the CPU.
        dtype (`str`, *optional*, defaults to `"auto"`): of the weights; `"auto"` keeps the checkpoint's.

    Returns:
        `dict`, also written to `results.json`: the settings, `data`, `versions`, `machine`, and `attacks`, what
        [`~safe_llava.evaluation.attacks.attack_figures.tabulate`] gives.

    Raises:
        ValueError: if there is no such suite or model, if the policy cannot be changed, or if `output_dir` holds a
            result with other settings.
    """
    parts = split_suites(suites)
    output_dir = Path(output_dir).resolve()
    settings = {
        **identify_checkpoint(model),
        "world": world.name,
        "num_rows": num_rows,
        "seed": seed,
        "steps": steps,
        "restarts": restarts,
        "safety_policy": None if safety_policy is None else dict(safety_policy),
        "versions": describe_versions("torch", "transformers"),
    }
    kept = read_json(output_dir / SETTINGS_FILE)
    if kept is not None:
        check_settings(output_dir, kept, settings)
    loaded, processor = _load(settings["model"], settings["safety_policy"], device, dtype)
    target = AttackTarget(loaded, processor, world.grammar, seed, batch_size)
    rows = draw_risky_rows(world, num_rows, seed)
    attacks = build_attacks(parts, target, world, steps, restarts)
    write_json(output_dir / SETTINGS_FILE, settings)
    log = OutcomeLog(output_dir / OUTCOMES_FILE)
    digest = hashlib.sha256(json.dumps(settings["model_files"]).encode()).hexdigest()[:12]
    shown = {row.key for row in rows[:NUM_EXAMPLES]}

    def keep_examples(attack: Attack, replies: Sequence[AttackReply]) -> None:
        keep_example_images(output_dir, attack.name, [reply for reply in replies if reply.row.key in shown])

    outcomes = try_attacks(target, attacks, rows, log, digest, keep_examples)
    results = {
        **settings,
        "suites": parts,
        "data": f"{num_rows} risky rows of {world.data}",
        "machine": describe_machine(device or default_device()),
        "attacks": tabulate(attacks, outcomes),
    }
    write_json(output_dir / RESULTS_FILE, results)
    write_attack_page(output_dir, results, attacks, outcomes, rows[:NUM_EXAMPLES])
    return results


def _load(
    checkpoint: str, changes: dict[str, Any] | None, device: str | None, dtype: str
) -> tuple[PreTrainedModel, ProcessorMixin]:
    """A model whose weights stay as they are, under its policy with the changes."""
    model: Any
    if read_any_config(checkpoint).model_type in SAFE_MODEL_TYPES:
        model, processor = load_safe_llava(checkpoint, device, dtype)
    else:
        model = AutoModelForImageTextToText.from_pretrained(
            checkpoint, dtype=dtype, device_map=require_device(device)
        ).eval()
        processor = AutoProcessor.from_pretrained(checkpoint)
    model.requires_grad_(False)
    if changes is not None:
        policy = getattr(model, "safety_policy", None)
        if policy is None or not model.config.use_safety_head:
            raise ValueError(f"{checkpoint} has no safety policy to change. Leave `safety_policy` out.")
        model.set_safety_policy(policy.updated(changes), processor)
    return model, processor
