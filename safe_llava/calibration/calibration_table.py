"""What a calibration says on the command line."""

from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from .guarantee_notes import describe_left_out


def print_calibration(results: dict[str, Any], output_dir: Path, console: Console | None = None) -> None:
    """
    Prints the figures that matter most, the notes, and what to do next.

    Args:
        results (`dict[str, Any]`): what [`run_calibration`] returns.
        output_dir (`Path`): where it wrote.
        console ([`~rich.console.Console`], *optional*): where to print. Defaults to standard output.
    """
    console = console or Console()
    counts, guarantee = results["counts"], results["guarantee"]
    kind = "labelled" if guarantee is None else "tested"
    lines = [
        f"\n{counts['rows']} {kind} rows of {results['dataset']}, {counts['harmless']} of them harmless. Left out: "
        f"{describe_left_out(results['left_out']) or 'none'}."
    ]
    if guarantee is None:
        lines.append('Before and after, with 95 % intervals; "after" is measured on rows that were not fitted on:')
    else:
        lines.append(f"Promised with a confidence of {guarantee['confidence']:.4g}, for rows to come:")
        for promise, found in guarantee["promises"].items():
            failures = "harmless rows flagged" if promise.startswith("over_refusal") else "risky rows missed"
            lines.append(f"  {promise:<22} {found['failures']} of {found['rows']} {failures} in the test")
        lines.append("Before and after, on the tested rows, with 95 % intervals:")
    console.print("\n".join(lines), markup=False, soft_wrap=True)
    for name, label in (("over_refusal", "harmless rows flagged"), ("recall", "risky rows flagged")):
        before, after = (_format(results[name][key]) for key in ("before", "cross_fitted"))
        console.print(f"  {label:<22} {before} -> {after}", markup=False)
    for name, values in results["temperature"].items():
        before, after = (results["head"][name]["ece"][key] for key in ("before", "cross_fitted"))
        label, error = f"temperature of {name}", f"calibration error {before:.3f} -> {after:.3f}"
        console.print(f"  {label:<22} {values['before']:g} -> {values['after']:g}, {error}")
    if len(set(results["level_threshold"].values())) > 1:
        before, after = (_name_level(results["level_threshold"][key]) for key in ("before", "after"))
        console.print(f"  {'some risk counts':<22} {before} -> {after}", markup=False)
    console.print(_types_table(results))
    if (familiarity := results.get("familiarity")) is not None:
        fitted, held_out = (familiarity["rows"][name] for name in ("fitted", "held_out"))
        console.print(
            f"The model knows images unlike these rows now and keeps {familiarity['share']:.4g} of rows like them: "
            f"fitted to {fitted}, with the threshold from {held_out} others.",
            markup=False,
            soft_wrap=True,
        )
    for note in results["notes"]:
        console.print(f"Note: {note}", markup=False, soft_wrap=True)

    policy = output_dir / "policy.json"
    console.print(f"\nLook at {output_dir / 'report.html'}. The policy is {policy}.", markup=False, soft_wrap=True)
    if results["model_updated"]:
        console.print(f"It is stored in {results['model']} now.", markup=False, soft_wrap=True)
    else:
        console.print(
            f"{results['model']} is as it was. To try the policy:\n"
            f"  safe-llava ask {results['model']} --policy {policy} --image IMAGE --question QUESTION\n"
            "To attach and publish it:\n"
            f'  model.set_safety_policy(SafetyPolicy.from_json_file("{policy}"), processor)\n'
            f"{_attach_familiarity(results, output_dir)}"
            '  model.push_to_hub("org/safe-llava")',
            markup=False,
            soft_wrap=True,
        )


def _attach_familiarity(results: dict[str, Any], output_dir: Path) -> str:
    if results.get("familiarity") is None:
        return ""
    return f'  model.config.safety_familiarity = json.load(open("{output_dir / "familiarity.json"}"))\n'


def _types_table(results: dict[str, Any]) -> Table:
    table = Table(box=SIMPLE)
    table.add_column("type", no_wrap=True)
    for header in ("rows", "threshold before", "after", "recall before", "after", "AUROC"):
        table.add_column(header, justify="right")
    for name, of_type in results["types"].items():
        old, new = (f"{of_type['threshold'][key]:g}" for key in ("before", "after"))
        recalls = [of_type["recall"][key] for key in ("before", "cross_fitted")]
        table.add_row(
            name,
            str(of_type["rows"]),
            *(("off", "off") if not of_type["enabled"] else (old, new if of_type["fitted"] else "kept")),
            *("-" if recall is None else f"{recall['share']:.1%}" for recall in recalls),
            "-" if of_type["auroc"] is None else f"{of_type['auroc']:.3f}",
        )
    return table


def _name_level(threshold: float | None) -> str:
    return "where it is the most probable" if threshold is None else f"from {threshold:g} on"


def _format(share: dict[str, Any] | None) -> str:
    if share is None:
        return "-"
    low, high = share["interval"]
    return f"{share['share']:.1%} [{low:.1%}, {high:.1%}]"
