"""Meerkat-Safe: a harmless image and a harmless text that are risky together.

Its card describes what is published; the names of the columns beside `image` were not seen.
"""

from collections.abc import Iterator
from pathlib import Path

from .public_set import PublicSet, SetRequest, SetRow, conversation_of
from .published_tables import PublishedFileError
from .set_files import find_tables, read_rows


_COLUMNS = {"image": "an image", "text": "text", "intent": "text", "implicit_risk": "text", "warning": "text"}


def _tables(request: SetRequest) -> list[Path]:
    return find_tables(request, "Meerkat-Safe.parquet", "**/Meerkat-Safe*.parquet")


def _read(request: SetRequest) -> Iterator[SetRow]:
    for record in read_rows(_tables(request), _COLUMNS):
        try:
            for name in ("intent", "implicit_risk", "warning"):
                record.text(name)
            # The warning says what an answer must mind; it is none.
            yield SetRow(record.place, conversation_of(record.text("text"), None))
        except PublishedFileError as error:
            yield SetRow(record.place, problems=[str(error)])


MEERKAT_SAFE = PublicSet(
    name="meerkat-safe",
    title="Meerkat-Safe",
    paper="Zhou et al., Meerkat-VL: Implicit Risk Safety Alignment in MLLMs, ICML 2026",
    home="https://github.com/Tunanzzz/Meerkat-VL",
    hub_id="Tunanzzz/Meerkat-Safe",
    licence="Apache-2.0; for research",
    layout="Meerkat-Safe.parquet",
    columns={
        "image": "the image, harmless alone",
        "text": "what is asked, harmless alone",
        "intent": "what the user wants",
        "implicit_risk": "what the two together risk",
        "warning": "what a safe answer must say",
    },
    cannot_tell="Neither level nor type is given, and no answer: each pair is only known to be risky.",
    splits=("train",),
    read=_read,
    hub_files=("Meerkat-Safe.parquet",),
    image_tables=_tables,
)
