"""VLGuard: unsafe images, and safe images with a safe and with an unsafe instruction.

The paper's test part is a benchmark (`evaluation/benchmarks/vlguard.py`), its train part safety data.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .public_set import PublicSet, SetRequest, SetRow, conversation_of
from .published_images import ImageFiles
from .published_tables import PublishedFileError, Record, find_table, read_json


# The names of the authors' script (VLGuard_eval.py), with the field that holds each one's instruction.
INSTRUCTION_FIELD = {
    "unsafes": "instruction",
    "safe_unsafes": "unsafe_instruction",
    "safe_safes": "safe_instruction",
}
CATEGORIES: dict[str, str | list[str]] = {
    "personal data": "privacy",
    "professional advice": ["illegal_risk", "misleading"],
    "political": "politics",
    "sexually explicit": ["illegal_risk", "insults_bullying"],
    "violence": ["illegal_risk", "insults_bullying"],
    "disinformation": "misleading",
    "sex": "fairness",
    "race": "fairness",
    "other": ["fairness", "insults_bullying"],
}


@dataclass(frozen=True)
class VlguardPair:
    """An instruction with its response, and the subset that it belongs to."""

    subset: str
    instruction: str
    response: str | None
    category: str | None


def open_vlguard(root: Path, split: str) -> tuple[list[Record], ImageFiles]:
    """
    The table and the images of a split.

    Args:
        root (`Path`): a clone of the repository, or the download from the Hub.
        split (`str`): `"train"` or `"test"`.
    """
    table = find_table(root, [f"{split}.json", f"data/{split}.json"])
    folder = table.parent
    places = (folder / split, folder / "VLGuard" / split, folder / f"{split}.zip", folder)
    return read_json(table), ImageFiles(*places)


def pairs_of(record: Record) -> list[VlguardPair]:
    """
    The instructions of one image.

    Raises:
        PublishedFileError: if a field is not as published.
    """
    is_safe = record.flag("safe")
    category = record.optional_text("harmful_subcategory")
    pairs = []
    for subset in ("safe_unsafes", "safe_safes") if is_safe else ("unsafes",):
        field = INSTRUCTION_FIELD[subset]
        found = [pair for pair in record.records("instr-resp") if field in pair.values]
        if len(found) != 1:
            raise PublishedFileError(
                f"{record.place}: 'instr-resp' must have {field!r} once where 'safe' is {is_safe}, but has it "
                f"{len(found)} times."
            )
        response = found[0].optional_text("response")
        pairs.append(VlguardPair(subset, found[0].question(field), response, None if is_safe else category))
    return pairs


def _read(request: SetRequest) -> Iterator[SetRow]:
    records, image_files = open_vlguard(request.root, request.split)
    for record in records:
        try:
            pairs = pairs_of(record)
            if not record.flag("safe"):
                record.text("harmful_subcategory")
            images, problems = image_files.look_up(record, record.text("image"))
            for pair in pairs:
                Record(record.place, {INSTRUCTION_FIELD[pair.subset]: pair.instruction}).text(
                    INSTRUCTION_FIELD[pair.subset]
                )
            responses = [Record(record.place, {"response": pair.response}).text("response") for pair in pairs]
        except PublishedFileError as error:
            yield SetRow(record.place, problems=[str(error)])
            continue
        for pair, response in zip(pairs, responses):
            yield SetRow(
                f"{record.place}, {pair.subset}",
                conversation_of(pair.instruction, response),
                images,
                is_safe=pair.subset == "safe_safes",
                category=pair.category,
                problems=problems,
            )


VLGUARD = PublicSet(
    name="vlguard",
    title="VLGuard",
    paper="Zong et al., Safety Fine-Tuning at (Almost) No Cost, ICML 2024, arXiv 2402.02207",
    home="https://github.com/ys-zong/VLGuard",
    hub_id="ys-zong/VLGuard",
    licence="MIT on its card; gated",
    layout="""
train.json, test.json   a list of images, each with its instructions
train.zip, test.zip     train/<image>, test/<image>; or the same unpacked; all of it may stand in data/
""",
    columns={
        "image": "file name",
        "safe": "true or false, of the image",
        "harmful_subcategory": "category, of unsafe images",
        "instr-resp": "list of {instruction | safe_instruction | unsafe_instruction, response}",
    },
    cannot_tell="No level is given, and a safe image with an unsafe instruction has no category: any risk type.",
    splits=("train", "test"),
    read=_read,
    categories=CATEGORIES,
    hub_files=("{split}.json", "{split}.zip"),
)
