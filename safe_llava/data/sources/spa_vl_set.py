"""SPA-VL: 93,258 questions about images of six domains of harm, each with a chosen and a rejected answer."""

from collections.abc import Iterator
from pathlib import Path

from .public_set import PublicSet, SetRequest, SetRow, conversation_of
from .published_tables import PublishedFileError
from .set_files import find_tables, read_rows


def _tables(request: SetRequest) -> list[Path]:
    return find_tables(request, f"{request.split}-*.parquet", f"*/{request.split}-*.parquet")


def _read(request: SetRequest) -> Iterator[SetRow]:
    has_answers = request.split in ("train", "validation")
    columns = {"image": "an image", "question": "text"} | ({"chosen": "text"} if has_answers else {})
    for record in read_rows(_tables(request), columns, {"class1": "text"}):
        try:
            answer = record.text("chosen") if has_answers else None
            messages = conversation_of(record.text("question"), answer)
            category = record.text("class1") if "class1" in record.values else None
            yield SetRow(record.place, messages, category=category)
        except PublishedFileError as error:
            yield SetRow(record.place, problems=[str(error)])


SPA_VL = PublicSet(
    name="spa-vl",
    title="SPA-VL",
    paper="Zhang et al., SPA-VL: A Comprehensive Safety Preference Alignment Dataset, 2024, arXiv 2406.12030",
    home="https://github.com/EchoseChen/SPA-VL-RLHF",
    hub_id="sqrti/SPA-VL",
    licence="CC-BY-4.0 on its card",
    layout="""
data/train-*.parquet
validation/validation-*.parquet
test/harm-*.parquet, test/help-*.parquet   without answers
""",
    columns={
        "image": "the image",
        "question": "what is asked",
        "chosen": "the answer to learn (the rejected one is for preference training)",
        "class1": "domain of harm; the card's train part has none",
    },
    cannot_tell="No level is given, and nothing says which questions are harmless; without class1 no type either.",
    splits=("train", "validation", "harm", "help"),
    read=_read,
    categories={
        "Representation & Toxicity Harms": ["insults_bullying", "fairness", "illegal_risk"],
        "Misinformation Harms": ["misleading", "politics"],
        "Information & Safety Harms": ["privacy", "illegal_risk"],
        "Malicious Use": ["illegal_risk", "misleading", "politics"],
        "Human Autonomy & Integrity Harms": "risky",
        "Socioeconomic Harms": "risky",
    },
    hub_files=("*{split}-*.parquet",),
    image_tables=_tables,
)
