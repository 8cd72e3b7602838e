"""An audit from beginning to end: one process of it, of which there may be many."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
from tqdm.auto import tqdm

from .audit_results import write_results
from .audit_state import remove_partials, state_error
from .launcher import read_launcher
from .plan import Plan, settle_plan
from .row_assessment import PreparedRow, RowAssessor
from .shard_audit import audit_shards, pillow_is_silent
from .sources import Source, SourceSpec
from .verdict_table import PartName, read_parts, read_progress


@dataclass(frozen=True)
class AuditOutcome:
    """
    What one process of an audit has done.

    Args:
        summary (`dict`, *optional*): the whole audit's summary, if it is finished and this process ended it.
        broken_shards (`list[str]`): what is wrong with the shards that could not be read to their end.
    """

    summary: dict[str, Any] | None
    broken_shards: list[str]


@pillow_is_silent()
def run_audit(
    spec: SourceSpec,
    model: str,
    output_dir: Path,
    policy: dict[str, Any] | None = None,
    device: str | None = None,
    dtype: str = "auto",
    batch_size: int | None = None,
    shard_size: int = 1024,
    workers: int | None = None,
    skip_broken_shards: bool = False,
    ray_actors: int | None = None,
    tiles: int | None = None,
) -> AuditOutcome:
    """
    Assesses a dataset, or this process' share of it, and goes on where an earlier start was stopped.

    Under `torchrun` or `accelerate launch` each process takes every `WORLD_SIZE`-th shard, beginning with its `RANK`.
    The processes exchange nothing, so one that is restarted keeps nobody waiting. The last to finish writes the
    results.

    Args:
        spec ([`SourceSpec`]): what to audit.
        model (`str`): a SafeLLaVA or guard checkpoint, a folder or a Hub id; or the folder of an exported guard.
        output_dir (`Path`):
            Gets `verdicts/*.parquet`, `summary.json`, `keep.txt`, `drop.txt`, `text-only.txt`, `not-images.txt` and
            `report.html`.
        policy (`dict`, *optional*): fields to change in the stored policy.
        device (`str`, *optional*): defaults to the accelerator of this process, or the CPU.
        dtype (`str`, *optional*, defaults to `"auto"`): the weights' type; "auto" keeps the checkpoint's.
        batch_size (`int`, *optional*): rows assessed together. Defaults to what memory holds.
        shard_size (`int`, *optional*, defaults to 1024): rows that a killed process loses at most.
        workers (`int`, *optional*): threads that decode images. Defaults to this process' share of the cores.
        skip_broken_shards (`bool`, *optional*, defaults to `False`):
            Whether to finish a shard that breaks off, such as a truncated tar file, with what it holds. Where the
            source tells how many rows there are, each that cannot be read is a row of its own. By default the shard
            stays unfinished, to be tried again.
        ray_actors (`int`, *optional*): assess in so many Ray actors in place of this process.
        tiles (`int`, *optional*):
            Also assess `tiles` times `tiles` overlapping crops of each image, for risks that are small in it: the
            gravest verdict decides. Costs as much as that many images more.

    Returns:
        [`AuditOutcome`]

    Raises:
        ValueError: if the source, the model, the policy or what a launcher set is unsound, or `output_dir` holds
            another audit.
        AuditStateError: if a file that the audit goes on by is gone, broken, doubled or foreign.
    """
    rank, world_size, local_world_size = read_launcher()
    assessor = RowAssessor(model, policy, device, dtype, tiles)
    plan, source = settle_plan(output_dir, spec, model, assessor, shard_size, batch_size, is_planner=rank == 0)
    folder = output_dir / "verdicts"
    finished, begun = read_progress(folder, plan.digest)
    # A process' share must not depend on what is finished already, or two would take the same shard.
    share = range(rank, plan.num_shards, world_size)
    shards = [shard for shard in share if shard not in finished]
    workers = workers or max(1, joblib.cpu_count() // (ray_actors or local_world_size))
    if ray_actors is not None:
        from .ray_pool import audit_with_ray

        broken = audit_with_ray(output_dir, shards, ray_actors, device, dtype, workers, skip_broken_shards)
        return _outcome(output_dir, plan, source, share, broken, world_size)
    with (
        _one_compute_thread() if assessor.guard.device == "cpu" else nullcontext(),
        _progress_bar(source, share, finished, begun, shard_size, is_shown=rank == 0) as on_row,
    ):
        broken = audit_shards(
            assessor,
            source,
            shards,
            begun,
            folder,
            plan.settings,
            plan.digest,
            workers,
            skip_broken_shards,
            on_row,
            world_size,
        )
    return _outcome(output_dir, plan, source, share, broken, world_size)


def _outcome(
    output_dir: Path, plan: Plan, source: Source, share: range, broken: list[str], world_size: int
) -> AuditOutcome:
    # Whoever removed or changed these meanwhile has taken the finished parts with them, or made them another audit's.
    plan.require_unchanged(output_dir)
    folder = output_dir / "verdicts"
    parts = read_parts(folder, plan.digest)
    finished = {shard for shard, of_shard in parts.items() if any(part["is_last"] for part in of_shard)}
    if not broken and (lost := [shard for shard in share if shard not in finished]):
        missing = PartName(lost[0], len(parts.get(lost[0], [])))
        raise state_error(folder / missing.file_name, "is gone")
    if len(finished) < plan.num_shards:
        return AuditOutcome(None, broken)
    summary = write_results(output_dir, plan, source)
    if world_size == 1:  # Another process may be writing the same results.
        for left in (output_dir, folder):
            remove_partials(left)
    return AuditOutcome(summary, broken)


@contextmanager
def _one_compute_thread() -> Iterator[None]:
    """Sums over several threads round otherwise. More cores are used by more processes."""
    torch = sys.modules.get("torch")
    if torch is None:  # The guard has no need of it, and takes one thread by itself.
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _progress_bar(
    source: Source, share: range, finished: set[int], begun: dict[int, int], part_size: int, is_shown: bool
) -> Iterator[Callable[[PreparedRow], Any]]:
    sizes = {shard: source.shard_rows(shard) for shard in share}
    known = [size for size in sizes.values() if size is not None]
    done = sum(sizes[shard] or 0 for shard in share if shard in finished)
    done += sum(begun.get(shard, 0) * part_size for shard in share)
    with tqdm(
        desc="Assessing",
        total=sum(known) if len(known) == len(sizes) else None,
        initial=done,
        unit=" rows",
        disable=None if is_shown else True,
    ) as bar:
        images = 0

        def on_row(prepared: PreparedRow) -> None:
            nonlocal images
            images += len(prepared.row.images)
            seconds = bar.format_dict["elapsed"]
            bar.set_postfix_str(f"{images / max(seconds, 1e-9):.0f} images/s", refresh=False)
            bar.update()

        yield on_row
