"""`safe-llava audit`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from .options import Device, DType, PolicyChanges, read_policy_changes, reported
from .package_import import import_package


SHARDS_NAMED = 5
"""Broken shards that an error names."""
EXIT_CODE_UNREADABLE = 3
EXIT_CODE_INCOMPLETE = 2
EXIT_CODE_INTERRUPTED = 130


def audit(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Folder of images; JSON or csv with conversations; parquet, arrow or tar files; Hub id; public set.",
        ),
    ],
    model: Annotated[str, typer.Option(help="SafeLLaVA or guard: a checkpoint, a Hub id, or an exported folder.")],
    output_dir: Annotated[
        Path, typer.Option(file_okay=False, help="Gets verdicts, summary.json, keep.txt, drop.txt and report.html.")
    ],
    image_folder: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Folder that image names start from. Default: the source's."),
    ] = None,
    root: Annotated[str | None, typer.Option(help="Your copy of a public set, or a Hub id; default: its own.")] = None,
    image_column: Annotated[
        list[str] | None, typer.Option(help="Column of images; may be given several times. Default: all of them.")
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column of the question. Default: the conversation or question, else none.")
    ] = None,
    key_column: Annotated[
        str | None, typer.Option(help="Column of the rows' names. Default: id, a tar file's names, or number.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of a dataset.")] = "train",
    config_name: Annotated[str | None, typer.Option(help="Configuration of a Hub dataset.")] = None,
    streaming: Annotated[bool, typer.Option("--streaming", help="Read while assessing; no download first.")] = False,
    policy: PolicyChanges = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Rows assessed at once; default: what memory holds.")
    ] = None,
    shard_size: Annotated[
        int, typer.Option(min=1, help="Rows of a table file: what a killed run loses at most.")
    ] = 1024,
    workers: Annotated[int | None, typer.Option(min=1, help="Decoding threads; default: this process' cores.")] = None,
    skip_broken_shards: Annotated[
        bool, typer.Option("--skip-broken-shards", help="Finish files that break off with what they hold.")
    ] = False,
    ray_actors: Annotated[
        int | None, typer.Option(min=1, help="Assess in so many Ray actors, on the cluster or on this machine.")
    ] = None,
    tiles: Annotated[
        int | None, typer.Option(min=2, help="Also assess so many crops a side of each image; the gravest decides.")
    ] = None,
    device: Device = None,
    dtype: Annotated[DType, typer.Option(help="Weights' type; auto keeps the checkpoint's.")] = DType.auto,
) -> None:
    """
    Assess every image of a dataset; go on where a killed run was. Under torchrun every process takes its share.

    Exit code 0: all rows with an image were assessed; 3: finished, but some rows could not be read (under torchrun 0,
    since a launcher would start again); 2: the table is not whole, because a file of the audit is gone, broken or
    foreign, or because nobody can count the rows behind the end of a broken shard; 1: an error, or parts of the source
    are unfinished.
    """
    with reported(), _ends_reported(model):
        from safe_llava.audit.run_audit import run_audit
        from safe_llava.audit.sources import SourceSpec

        spec = SourceSpec(
            source,
            None if image_folder is None else str(image_folder),
            tuple(image_column or ()),
            text_column,
            key_column,
            split,
            config_name,
            streaming,
            root,
        )
        outcome = run_audit(
            spec,
            model,
            output_dir,
            policy=read_policy_changes(policy),
            device=device,
            dtype=dtype.value,
            batch_size=batch_size,
            shard_size=shard_size,
            workers=workers,
            skip_broken_shards=skip_broken_shards,
            ray_actors=ray_actors,
            tiles=tiles,
        )
        if outcome.broken_shards:
            problems = "\n".join(f"  {problem}" for problem in outcome.broken_shards[:SHARDS_NAMED])
            if len(outcome.broken_shards) > SHARDS_NAMED:
                problems += f"\n  and {len(outcome.broken_shards) - SHARDS_NAMED} more"
            raise ValueError(
                f"{len(outcome.broken_shards)} shards of {source} could not be read to their end:\n{problems}\n"
                "Run again to try them again, or with --skip-broken-shards to take what they hold."
            )
    if outcome.summary is None:
        typer.echo("This process' share is finished; another process is still at work.")
        return
    typer.echo(_in_words(outcome.summary, output_dir))
    if outcome.summary["broken_shards"]:
        raise typer.Exit(EXIT_CODE_INCOMPLETE)
    if outcome.summary["unreadable"] and "RANK" not in os.environ:
        raise typer.Exit(EXIT_CODE_UNREADABLE)


@contextmanager
def _ends_reported(model: str) -> Iterator[None]:
    import_package(model)
    from safe_llava.audit.audit_state import AuditStateError

    try:
        yield
    except AuditStateError as error:
        typer.secho(f"Error: {error}", fg="red", err=True)
        raise typer.Exit(EXIT_CODE_INCOMPLETE) from None
    except KeyboardInterrupt:
        typer.echo("\nStopped. The same command goes on where it was.", err=True)
        raise typer.Exit(EXIT_CODE_INTERRUPTED) from None


def _in_words(summary: dict, output_dir: Path) -> str:
    cost = summary["cost"]
    untrusted = f", {summary['untrusted']} of them for want of a trusted verdict" if summary["untrusted"] else ""
    first = summary["unreadable_first"]
    unreadable = [
        f"  {kind}: {', '.join(first[kind])}{', ...' if count > len(first[kind]) else ''}"
        for kind, count in summary["unreadable_reasons"].items()
    ]
    lines = [
        f"rows        {summary['rows']}: {summary['keep']} to keep, {summary['drop']} to drop",
        f"flagged     {summary['flagged']} by the policy{untrusted}",
        f"unreadable  {summary['unreadable']} {_listed(summary['unreadable_reasons'])}",
        *unreadable,
        f"levels      {_listed(summary['levels'])}",
        f"types       {_listed(summary['types'])}",
        f"speed       {cost['images_per_second']:.0f} images/s; {cost['decode_share']:.0%} of it decoding",
    ]
    if summary["text_only"]:
        lines.insert(1, f"text only   {summary['text_only']} without an image, in {output_dir}/text-only.txt")
    if summary["not_images"]:
        lines.insert(1, f"no images   {_listed(summary['not_images'])}, in {output_dir}/not-images.txt")
    if summary["broken_shards"]:
        lines.append(f"Not whole: {summary['broken_shards']} shards break off, and what lies behind is not known.")
    return "\n".join([*lines, f"Look at {output_dir / 'report.html'}. The table is in {output_dir / 'verdicts'}."])


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
