"""The plan of an audit: written once, so that every process and every later start cuts the work in the same way."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..files import write_json
from .audit_state import digest, read_state, state_error, write_lines
from .part_writer import PartSettings
from .row_assessment import RowAssessor
from .source_state import digest_files, find_place
from .sources import Source, SourceSpec, count_suffixes, open_source, prepare_source


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
        not_images (`dict[str, int]`): files of a folder that are no images, by suffix; `not-images.txt` has them all.
        manifest (`str`, *optional*): the digest of the manifest, where the source has one.
        place (`str`, *optional*): where the source lies on the disk, if it does.
        files (`str`, *optional*): the digest of its files' names, sizes and times, where there is no manifest.
        tiles (`int`, *optional*): crops a side of each image that are assessed beside it.
    """

    spec: SourceSpec
    model: str
    model_version: str
    policy_version: str
    policy: dict[str, Any]
    settings: PartSettings
    num_shards: int
    num_rows: int | None
    not_images: dict[str, int]
    manifest: str | None
    place: str | None
    files: str | None
    tiles: int | None = None

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """
        The plan that [`settle_plan`] wrote.

        Raises:
            AuditStateError: if it is gone or broken.
        """
        values = read_state(path)
        try:
            spec = values.pop("spec")
            spec["image_columns"] = tuple(spec["image_columns"])
            plan = cls(SourceSpec(**spec), settings=PartSettings(**values.pop("settings")), **values)
            sizes = (plan.num_shards, plan.settings.part_size, plan.settings.batch_size)
            if not all(isinstance(size, int) and size > 0 for size in sizes):
                raise ValueError(f"{sizes} are no sizes")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise state_error(path, f"is no plan of this version: {error!r}") from error
        return plan

    @property
    def digest(self) -> str:
        """Changes with everything that the table depends on, so that parts of another plan are known."""
        return str(digest(json.dumps(asdict(self), sort_keys=True).encode()))

    def require_unchanged(self, output_dir: Path) -> None:
        """
        Makes sure that the plan and its manifest still lie in the folder of the audit.

        Raises:
            AuditStateError: if one of them is gone or another.
        """
        if Plan.read(output_dir / "plan.json").digest != self.digest:
            raise state_error(output_dir / "plan.json", "was changed meanwhile")
        manifest = output_dir / "manifest.parquet"
        if digest(manifest) != self.manifest:
            raise state_error(manifest, "is not the one that plan.json was made with")


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
        AuditStateError: if the plan or the manifest of an earlier start is broken.
    """
    path, manifest = output_dir / "plan.json", output_dir / "manifest.parquet"
    if is_planner and not path.exists():
        manifest.unlink(missing_ok=True)
        not_images = prepare_source(spec, output_dir, manifest, part_size)
        source = open_source(spec, output_dir, manifest, part_size)
        plan = Plan(
            spec,
            model,
            assessor.model_version,
            assessor.policy_version,
            assessor.policy.to_dict(),
            PartSettings(part_size, batch_size or assessor.find_batch_size()),
            source.num_shards,
            source.num_rows,
            count_suffixes(not_images),
            digest(manifest),
            find_place(spec),
            digest_files(spec, output_dir, manifest),
            assessor.tiles,
        )
        write_lines(output_dir / "not-images.txt", not_images)
        write_json(path, asdict(plan))
        return plan, source
    while not path.exists():
        time.sleep(0.2)
    plan = Plan.read(path)
    plan.require_unchanged(output_dir)
    source = open_source(plan.spec, output_dir, manifest, plan.settings.part_size)
    _require_same(
        output_dir,
        {
            "source": (asdict(plan.spec), asdict(spec)),
            "place of the source": (plan.place, find_place(spec)),
            "state of the source's files, by name, size and time": (
                plan.files,
                digest_files(spec, output_dir, manifest),
            ),
            "model": (plan.model_version, assessor.model_version),
            "policy": (plan.policy_version, assessor.policy_version),
            "number of tiles": (plan.tiles, assessor.tiles),
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
