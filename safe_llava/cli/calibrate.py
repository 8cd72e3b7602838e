"""`safe-llava calibrate`."""

from pathlib import Path
from typing import Annotated

import typer

from .options import Device, DType, ModelOrGuard, reported
from .package_import import import_package


def calibrate(
    model: ModelOrGuard,
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="Labelled validation rows: JSON, csv, parquet or tar files with the authors' labels, a folder, a Hub "
            "id, a public set by its name, a server's audit log with labels, the ticks of an audit, ratings of a "
            "review, or 'miniature' for synthetic scenes.",
        ),
    ],
    output_dir: Annotated[
        Path, typer.Option(file_okay=False, help="Gets policy.json, calibration.json and report.html.")
    ],
    root: Annotated[str | None, typer.Option(help="Your copy of a public set, or a Hub id; default: its own.")] = None,
    image_folder: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Folder that image names start from; default: the source's own."
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of a folder, a Hub dataset or the miniature.")] = "validation",
    target_over_refusal: Annotated[
        float | None,
        typer.Option(help="Largest share of harmless rows that the policy may flag; 0.01 if no target is given."),
    ] = None,
    target_recall: Annotated[
        float | None, typer.Option(help="Or: smallest share of the risky rows of each type that it must flag.")
    ] = None,
    guarantee: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROMISE",
            help="In place of a target, what shall hold on rows to come: over_refusal<=0.01, miss_rate<=0.05 or "
            "miss_rate.TYPE<=0.05, in quotes. Repeatable.",
        ),
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(help="With which all promises together shall hold; 0.95 if not given.")
    ] = None,
    fit_share: Annotated[
        float | None,
        typer.Option(
            help="Share of the rows, 0.3 if not given, that temperatures and the proportions between thresholds are "
            "fitted to, and no promise is tested on; 0 keeps the policy's."
        ),
    ] = None,
    min_examples: Annotated[
        int | None, typer.Option(min=2, help="Types with fewer rows, 20 if not given, keep their threshold.")
    ] = None,
    fit_level_threshold: Annotated[
        bool,
        typer.Option(
            "--fit-level-threshold",
            help="Also choose from which probability of any risk on a level counts; else the most probable one does.",
        ),
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows assessed at once.")] = 32,
    max_samples: Annotated[
        int | None, typer.Option(min=1, help="Take the first so many rows; 'miniature' draws so many.")
    ] = None,
    label_map: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="YAML in place of a public set's own label map.")
    ] = None,
    samples: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Of ratings: the samples that were rated.")
    ] = None,
    familiar_share: Annotated[
        float | None,
        typer.Option(
            help="Also learn to refuse images that are unlike those of the rows, keeping this share of rows like "
            "them, such as 0.99."
        ),
    ] = None,
    device: Device = None,
    dtype: Annotated[DType, typer.Option(help="Weights' type; auto keeps the checkpoint's.")] = DType.auto,
    update_model: Annotated[bool, typer.Option(help="Write the policy into a local model or folder.")] = True,
) -> None:
    """
    Fit temperature and thresholds to labelled rows, to a target or with a guarantee; write the policy and a page that
    shows what it does.
    """
    if target_over_refusal is not None and target_recall is not None:
        raise typer.BadParameter("Give --target-over-refusal or --target-recall, not both.")
    with reported():
        import_package(model)
        from safe_llava.calibration.calibration_table import print_calibration
        from safe_llava.calibration.run_calibration import run_calibration

        results = run_calibration(
            model,
            dataset,
            output_dir,
            root=root,
            image_folder=image_folder,
            split=split,
            target_over_refusal=target_over_refusal,
            target_recall=target_recall,
            guarantee=guarantee or (),
            confidence=confidence,
            fit_share=fit_share,
            min_examples=min_examples,
            fit_level_threshold=fit_level_threshold,
            batch_size=batch_size,
            max_samples=max_samples,
            label_map=label_map,
            samples=samples,
            familiar_share=familiar_share,
            device=device,
            dtype=dtype.value,
            update_model=update_model,
        )
        print_calibration(results, output_dir)
