"""The plan of an audit: written once, so that every process and every later start cuts the work in the same way."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..files import read_json, write_json
from .part_writer import PartSettings
from .row_assessment import RowAssessor
from .sources import Source, SourceSpec, open_source, prepare_source


@dataclass(frozen=True)
class Plan:
    """
    What is audited, by what, and how it is cut.

    Args:
        spec ([`SourceSpec`]): the source.
        model (`str`): the guard, as the user named it.
        model_version (`str`): its fingerprint.
        policy_version (`str`): the fingerprint of the policy in force.
        policy (`dict`): that policy.
        settings ([`PartSettings`]): sizes of parts and batches.
        num_shards (`int`): shards of the source.
        num_rows (`int`, *optional*): its rows; `None` where only reading can tell.
        files_passed_over (`dict[str, int]`): files of a folder that are no images, by suffix.
    """

    spec: SourceSpec
    model: str
    model_version: str
    policy_version: str
    policy: dict[str, Any]
    settings: PartSettings
    num_shards: int
    num_rows: int | None
    files_passed_over: dict[str, int]

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """The plan that [`settle_plan`] wrote."""
        values = read_json(path)
        spec = values.pop("spec")
        spec["image_columns"] = tuple(spec["image_columns"])
        return cls(SourceSpec(**spec), settings=PartSettings(**values.pop("settings")), **values)


def settle_plan(
    output_dir: Path,
    spec: SourceSpec,
    model: str,
    assessor: RowAssessor,
    part_size: int,
    batch_size: int | None,
    is_planner: bool = True,
) -> tuple[Plan, Source]:
    """
    The plan of an audit and its opened source. The first start makes the plan; every other one is held to it.

    Args:
        output_dir (`Path`): the folder of the audit.
        spec ([`SourceSpec`]): the source.
        model (`str`): the guard, as the user named it.
        assessor ([`RowAssessor`]): the guard.
        part_size (`int`): rows of a part.
        batch_size (`int`, *optional*): rows assessed together. Defaults to what memory holds at the first start.
        is_planner (`bool`, *optional*, defaults to `True`): False waits until another process has made the plan.

    Returns:
        `tuple` of the [`Plan`] and the [`Source`].

    Raises:
        ValueError: if the folder holds an audit of something else, or the source cannot be audited.
    """
    path, manifest = output_dir / "plan.json", output_dir / "manifest.parquet"
    if is_planner and not path.exists():
        manifest.unlink(missing_ok=True)
        passed_over = prepare_source(spec, manifest, part_size)
        source = open_source(spec, manifest, part_size)
        plan = Plan(
            spec,
            model,
            assessor.model_version,
            assessor.policy_version,
            assessor.policy.to_dict(),
            PartSettings(part_size, batch_size or assessor.find_batch_size()),
            source.num_shards,
            source.num_rows,
            dict(passed_over.most_common()),
        )
        write_json(path, asdict(plan))
        return plan, source
    while not path.exists():
        time.sleep(0.2)
    plan = Plan.read(path)
    source = open_source(plan.spec, manifest, plan.settings.part_size)
    _require_same(
        output_dir,
        {
            "source": (asdict(plan.spec), asdict(spec)),
            "model": (plan.model_version, assessor.model_version),
            "policy": (plan.policy_version, assessor.policy_version),
            "shard size": (plan.settings.part_size, part_size),
            "batch size": (plan.settings.batch_size, batch_size or plan.settings.batch_size),
            "number of shards": (plan.num_shards, source.num_shards),
            "number of rows": (plan.num_rows, source.num_rows),
        },
    )
    return plan, source


def _require_same(output_dir: Path, fields: dict[str, tuple[Any, Any]]) -> None:
    for name, (before, now) in fields.items():
        if before != now:
            raise ValueError(
                f"{output_dir} holds an audit with another {name}: it was {before} and is {now}. Go on with what it "
                "was, or choose another --output-dir."
            )
