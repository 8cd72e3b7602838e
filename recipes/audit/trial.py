"""
Puts `safe-llava audit` on trial: synthetic images, one in a hundred broken, killed at random, shared by processes.

    python -m recipes.audit.trial --model quickstart/model --output-dir trial

Every audit must end with the table of an unbroken run of one process, whatever was done to it. Prints what it found,
and how much faster two processes are than one, on some of the images and in turns: than one that has a core, as each
of the two has, and than one that has two cores and decodes in threads.
"""

import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from safe_llava.audit.verdict_table import read_verdicts
from safe_llava.files import describe_versions, read_json, write_json
from safe_llava.miniature.scene_dataset import build_dataset

from ..benchmark.machine import describe_this_machine


NUM_SCENES = 500
"""Scenes that are drawn; every image is one of them at a size of its own."""
BROKEN = ("empty", "text", "cut off")
ODD = ("CMYK", "palette", "16 bit", "animated", "wrong name")


def main(
    model: Annotated[str, typer.Option(help="SafeLLaVA or guard checkpoint.")],
    output_dir: Annotated[Path, typer.Option(help="Gets the images, the audits and trial.json.")],
    images: Annotated[int, typer.Option(min=100)] = 20_000,
    kills: Annotated[int, typer.Option(min=0, help="Times that each audit is killed.")] = 5,
    rounds: Annotated[int, typer.Option(min=0, help="Turns of one process and two, for the ratios.")] = 3,
    timed_folders: Annotated[int, typer.Option(min=1, help="Take so many thousand images for the turns.")] = 4,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Run the trial; exit with 1 if a table differs."""
    folder = output_dir / "images"
    if not folder.exists():
        draw_images(folder, images, seed)
    numbers = random.Random(seed)
    unbroken = output_dir / "unbroken"
    shutil.rmtree(unbroken, ignore_errors=True)
    audit(model, folder, unbroken, 1)
    summary = read_json(unbroken / "summary.json")
    expected = read_verdicts(unbroken / "verdicts")
    time_of_a_run = summary["cost"]["seconds"]
    is_same: dict[int, bool] = {}
    for processes in (1, 2, 4):
        audit_dir = output_dir / f"killed-{processes}"
        shutil.rmtree(audit_dir, ignore_errors=True)
        for _ in range(kills):
            audit(model, folder, audit_dir, processes, numbers.uniform(0.1, 0.9) * time_of_a_run / (kills + 1))
        audit(model, folder, audit_dir, processes)
        is_same[processes] = read_verdicts(audit_dir / "verdicts").equals(expected)
    seconds = time_in_turns(model, folder, output_dir, rounds, timed_folders)
    report(output_dir / "trial.json", summary, seconds, is_same, kills)
    if not all(is_same.values()):
        raise typer.Exit(1)


def time_in_turns(model: str, folder: Path, output_dir: Path, rounds: int, folders: int) -> dict[str, list[float]]:
    """Seconds of assessing, without the start, of each way to use two cores."""
    some = output_dir / "some"
    shutil.rmtree(some, ignore_errors=True)
    for part in sorted(folder.iterdir())[:folders]:
        shutil.copytree(part, some / part.name, copy_function=os.link)
    both = sorted(os.sched_getaffinity(0))[:2]
    ways = {"one process, one core": (1, both[:1]), "one process": (1, both), "two processes": (2, both)}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (processes, cores) in ways.items():
            shutil.rmtree(output_dir / "timed", ignore_errors=True)
            audit(model, some, output_dir / "timed", processes, cores=cores)
            summary = read_json(output_dir / "timed" / "summary.json")
            seconds[way].append(summary["cost"]["seconds"])
    return seconds


def draw_images(folder: Path, size: int, seed: int) -> None:
    """JPEGs of 200 to 600 pixels; of a hundred one is broken, and one is odd but can be read."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    rows = build_dataset("test", NUM_SCENES, seed)
    scenes = [row["images"][0].convert("RGB") for row in rows if row["images"]]
    numbers = random.Random(seed)
    for number in tqdm(range(size), desc="Drawing"):
        path = partial / f"{number // 1000:03}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        side = numbers.randint(200, 600)
        image = scenes[number % len(scenes)].resize((side, side), Image.Resampling.BICUBIC)
        if number % 100 == 50:
            save_broken(image, path, BROKEN[number // 100 % len(BROKEN)])
        elif number % 100 == 51:
            save_odd(image, path, ODD[number // 100 % len(ODD)])
        else:
            image.save(path, quality=90)
    partial.rename(folder)


def save_broken(image: Image.Image, path: Path, how: str) -> None:
    if how == "cut off":
        image.save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.write_text("" if how == "empty" else "not an image")


def save_odd(image: Image.Image, path: Path, how: str) -> None:
    if how == "CMYK":
        image.convert("CMYK").save(path)
    elif how == "palette":
        image.quantize(16).save(path.with_suffix(".png"))
    elif how == "16 bit":
        image.convert("I;16").save(path.with_suffix(".png"))
    elif how == "animated":
        image.save(path.with_suffix(".gif"), save_all=True, append_images=[image.rotate(90)])
    else:
        image.save(path, format="PNG")


def audit(
    model: str,
    folder: Path,
    audit_dir: Path,
    processes: int,
    kill_after: float | None = None,
    cores: Sequence[int] | None = None,
) -> None:
    """
    Audit a folder, to its end or until it is killed.

    Args:
        model (`str`): the checkpoint.
        folder (`Path`): the images.
        audit_dir (`Path`): what the audit writes to, and goes on with.
        processes (`int`): how many processes share the work.
        kill_after (`float`, *optional*): kill all of them so many seconds after they wrote their first part.
        cores (`Sequence[int]`, *optional*): the cores that they may use.

    Raises:
        subprocess.CalledProcessError: if an audit that nobody killed fails.
    """
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), "-m", "safe_llava", "audit", str(folder)]
    command += ["--model", model, "--output-dir", str(audit_dir), "--shard-size", "256", "--device", "cpu"]
    process = subprocess.Popen(
        command,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=None if cores is None else partial(os.sched_setaffinity, 0, cores),
    )
    if kill_after is None:
        code = process.wait()
        if code not in (0, 3):
            raise subprocess.CalledProcessError(code, command)
        return
    before = count_parts(audit_dir)
    while count_parts(audit_dir) == before and process.poll() is None:
        time.sleep(0.01)
    time.sleep(kill_after)
    kill_tree(process)


def kill_tree(process: subprocess.Popen) -> None:
    """torchrun puts its workers into sessions of their own."""
    listing = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    parents = [tuple(map(int, line.split())) for line in listing.splitlines()[1:]]
    doomed = [process.pid]
    for parent in doomed:
        doomed += [pid for pid, ppid in parents if ppid == parent]
    for pid in doomed:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def count_parts(audit_dir: Path) -> int:
    return len(list((audit_dir / "verdicts").glob("shard-*")))


def report(
    path: Path, summary: dict[str, Any], seconds: dict[str, list[float]], is_same: dict[int, bool], kills: int
) -> None:
    fastest = seconds["two processes"]
    ratios = {
        way: [one / two for one, two in zip(of_way, fastest)]
        for way, of_way in seconds.items()
        if of_way is not fastest
    }
    results = {
        "data": "synthetic scenes, safe_llava.miniature",
        "machine": describe_this_machine(),
        "versions": describe_versions("torch", "transformers"),
        "rows": summary["rows"],
        "unreadable": summary["unreadable"],
        "kills": kills,
        "same_table": is_same,
        "seconds": seconds,
        "ratios": ratios,
        "cost": summary["cost"],
    }
    write_json(path, results)
    table = Table(title=f"{summary['rows']} synthetic images, {summary['unreadable']} unreadable")
    table.add_column("")
    table.add_column("found", justify="right")
    for processes, same in is_same.items():
        table.add_row(f"killed {kills} times, {processes} processes", "same table" if same else "ANOTHER TABLE")
    for way, found in ratios.items() if fastest else ():
        ratio = f"{statistics.median(found):.2f} times ({min(found):.2f} to {max(found):.2f})"
        table.add_row(f"two processes are faster than {way}", ratio)
    table.add_row("decoding, share of the work", f"{summary['cost']['decode_share']:.0%}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
