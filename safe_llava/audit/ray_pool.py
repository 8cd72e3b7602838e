"""The audit on a Ray cluster: an actor pool of guards that take shards from a Ray dataset (extra `ray`)."""

from pathlib import Path
from typing import Any

import ray

from .plan import Plan
from .row_assessment import RowAssessor
from .shard_audit import audit_shards
from .sources import open_source
from .verdict_table import read_progress


class ShardActor:
    """
    A guard that assesses one shard after the other, and writes the parts itself: what an actor has finished stays
    finished, whatever becomes of the cluster.

    Args:
        output_dir (`str`): the folder of the audit.
        device (`str`, *optional*): where to assess. Defaults to the accelerator of the actor, or the CPU.
        dtype (`str`): the weights' type; "auto" keeps the checkpoint's.
        workers (`int`): threads that decode images.
        skip_broken (`bool`): whether a shard that breaks off is finished there.
        actors (`int`): how many share the work; for the record of the cost.
    """

    def __init__(self, output_dir: str, device: str | None, dtype: str, workers: int, skip_broken: bool, actors: int):
        self.output_dir = Path(output_dir)
        self.plan = Plan.read(self.output_dir / "plan.json")
        self.assessor = RowAssessor(self.plan.model, self.plan.policy, device, dtype, self.plan.tiles)
        manifest = self.output_dir / "manifest.parquet"
        self.source = open_source(self.plan.spec, self.output_dir, manifest, self.plan.settings.part_size)
        self.workers, self.skip_broken, self.actors = workers, skip_broken, actors

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        folder = self.output_dir / "verdicts"
        _, begun = read_progress(folder, self.plan.digest)
        broken = audit_shards(
            self.assessor,
            self.source,
            batch["id"].tolist(),
            begun,
            folder,
            self.plan.settings,
            self.plan.digest,
            self.workers,
            self.skip_broken,
            lambda prepared: None,
            self.actors,
        )
        return {"broken": broken}


def audit_with_ray(
    output_dir: Path,
    shards: list[int],
    num_actors: int,
    device: str | None,
    dtype: str,
    workers: int,
    skip_broken_shards: bool,
) -> list[str]:
    """
    Assesses shards of a planned audit in an actor pool. `output_dir`, source and model must be there on every node.

    Args:
        output_dir (`Path`): the folder of the audit.
        shards (`list[int]`): the shards to assess.
        num_actors (`int`): how many actors share them.
        device (`str`, *optional*): where to assess. Defaults to the accelerator of each actor, or the CPU.
        dtype (`str`): the weights' type; "auto" keeps the checkpoint's.
        workers (`int`): threads of each actor that decode images.
        skip_broken_shards (`bool`): whether a shard that breaks off is finished there.

    Returns:
        `list[str]`: what is wrong with the shards that could not be read to their end.
    """
    if not shards:
        return []
    ray.init(ignore_reinit_error=True)
    # Actors that reserve every logical CPU starve the tasks that feed them, and Ray waits for ever without a word.
    num_cpus = min(1.0, (ray.cluster_resources()["CPU"] - 1) / num_actors) or 0.1
    num_gpus = min(1.0, ray.cluster_resources().get("GPU", 0) / num_actors)
    # A shard a block: else the first actor gets them all.
    dataset = ray.data.from_items([{"id": shard} for shard in shards], override_num_blocks=len(shards))
    results = dataset.map_batches(
        ShardActor,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=num_actors),
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        fn_constructor_args=(str(output_dir.absolute()), device, dtype, workers, skip_broken_shards, num_actors),
    )
    return [row["broken"] for row in results.iter_rows()]
