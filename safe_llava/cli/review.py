"""`safe-llava review`."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .options import reported, require_free


review = typer.Typer(
    no_args_is_help=True,
    help="Rate what systems answered, side by side and blind; then see how far raters and a judge agree.",
)


class Scale(str, Enum):
    rating = "rating"
    preference = "preference"


@review.command()
def rate(
    samples: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            metavar="SAMPLES",
            help='JSON lines: {"id": ..., "question": ..., "outputs": {"system": "text", ...}} with two systems or '
            'more; optional "image" or "images", and "risk_type".',
        ),
    ],
    rater: Annotated[str, typer.Option(help="Your name; it stands in every rating.")],
    output: Annotated[
        Path,
        typer.Option(
            dir_okay=False, help="File of ratings, JSON lines. It is only added to; several raters may share it."
        ),
    ],
    scale: Annotated[
        Scale, typer.Option(help="A score from 0 to 10 for each answer, or which is better, ties allowed.")
    ] = Scale.rating,
    image_folder: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder of the images; by default that of SAMPLES."),
    ] = None,
    guideline: Annotated[str, typer.Option(help="What raters should go by; shown above every sample.")] = "",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page, on this machine alone.")] = 7860,
) -> None:
    """Open a local page to rate samples on. Stop with Ctrl+C; the same command goes on where you were."""
    with reported():
        from safe_llava.review.review_page import serve_review
        from safe_llava.review.review_samples import load_samples
        from safe_llava.review.review_session import ReviewSession

        session = ReviewSession(load_samples(samples, image_folder), rater, output, scale.value)
        require_free(port)
        for cut_off in session.cut_off_lines:
            typer.echo(f"Note: line {cut_off.line} of {cut_off.path} was cut off and does not count: {cut_off.text}")
        typer.echo(f"{session.num_rated} of {len(session.samples)} samples are rated by {session.rater} in {output}.")
        typer.echo(f"Open http://127.0.0.1:{port} in a browser. Every saved rating is on the disk; stop with Ctrl+C.")
        serve_review(session, port, guideline)
    typer.echo(f"\n{session.num_rated} of {len(session.samples)} samples are rated. Next:")
    typer.echo(f"  safe-llava review agreement {output} --output-dir agreement")


@review.command()
def agreement(
    ratings: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, metavar="RATINGS...", help="Files that `rate` wrote.")
    ],
    output_dir: Annotated[Path, typer.Option(file_okay=False, help="Gets agreement.json.")],
    judge: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help='A judge\'s ratings, JSON lines: {"rater": "judge", "id": ..., "scores": {"system": 0 to 10, ...}}. '
            "May be given several times.",
        ),
    ] = None,
) -> None:
    """Mean ratings, win rates, and how far raters agree with each other and with a judge."""
    with reported():
        from safe_llava.files import write_json
        from safe_llava.review.agreement import compute_agreement
        from safe_llava.review.agreement_table import print_agreement
        from safe_llava.review.ratings import load_ratings

        results = compute_agreement(load_ratings(*ratings), load_ratings(*(judge or [])))
        write_json(output_dir / "agreement.json", results)
        print_agreement(results, output_dir)
