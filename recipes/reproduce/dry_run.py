"""What a run would do, in words."""

import shlex
from collections.abc import Mapping, Sequence

from ..steps.step_records import State, Step
from .forecast import disk_bytes, gigabytes_of_gpu, gpu_hours
from .prerequisites import licence_of
from .reproduction_config import Reproduction


def describe_run(
    whole: Reproduction, steps: Sequence[Step], states: Mapping[str, State], missing: Sequence[str]
) -> str:
    """
    Steps with their state and command line, the sets with their terms, what it costs, and what is missing.

    Args:
        whole ([`Reproduction`]): what is reproduced.
        steps (`Sequence[Step]`): all steps.
        states (`Mapping[str, State]`): theirs.
        missing (`Sequence[str]`): what [`find_missing`] says.
    """
    undone = [step for step in steps if states[step.name].name != "done"]
    lines = [f"{whole.data}", "", "Steps:"]
    for step in steps:
        lines += [f"  {step.name} ({states[step.name]}): {step.about}", f"    {shlex.join(step.command)}"]
    lines += ["", "Sets, under their own terms:"]
    lines += [f"  {name}: {licence_of(whole, name)}" for name in whole.sets]
    lines += ["", *_costs(whole, [step.name for step in undone]), ""]
    if missing:
        return "\n".join([*lines, "Missing:", *(f"  {each}" for each in missing)])
    return "\n".join([*lines, "Nothing is missing." if undone else "Everything is done."])


def _costs(whole: Reproduction, undone: Sequence[str]) -> list[str]:
    if not undone:
        return ["Nothing is left to pay for."]
    sizes = disk_bytes(whole, undone)
    unknown = [name for name, found in whole.sets.items() if found.gigabytes is None and f"get-{name}" in undone]
    lines = [f"Disk: {sum(sizes.values()) / 1e9:.1f} GB" + (f" and {', '.join(unknown)}" if unknown else "")]
    for number in (1, 2) if whole.gpus else ():
        if f"stage{number}" in undone:
            lines.append(
                f"Stage {number}: {gpu_hours(whole, number):.1f} GPU hours at {whole.assumed_tflops:g} TFLOP/s and "
                f"{gigabytes_of_gpu(whole, number):.0f} GB a GPU under DDP. Computed, not measured."
            )
    if whole.gpus and "evaluate" in undone:
        lines.append("What calibration and evaluation take is not estimated.")
    return lines
