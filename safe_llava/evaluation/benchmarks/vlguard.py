"""VLGuard: unsafe images, and safe images with a safe and with an unsafe instruction. Its test part is loaded.

Paper: "Safety Fine-Tuning at (Almost) No Cost: A Baseline for Vision Large Language Models", Zong et al., ICML 2024,
arXiv 2402.02207. Home: https://github.com/ys-zong/VLGuard and https://huggingface.co/datasets/ys-zong/VLGuard (gated;
its terms were not read here).

    test.json    [{"id", "image", "safe", "harmful_category", "harmful_subcategory", "instr-resp": [...]}, ...]
    test.zip     test/<image>, or the same unpacked; both in `data/` in the clone

An unsafe image has one `instruction`, a safe one a `safe_instruction` and an `unsafe_instruction`, each with its
`response`, which becomes the `reference`. Nothing was measured here.
"""

from pathlib import Path

from .benchmark_images import ImageFiles
from .benchmark_row import BenchmarkRow
from .benchmark_tables import InvalidBenchmarkError, Record, check_split, find_table, read_json


# The names of the authors' script (VLGuard_eval.py), with the field that holds each one's instruction.
INSTRUCTION_FIELD = {
    "unsafes": "instruction",
    "safe_unsafes": "unsafe_instruction",
    "safe_safes": "safe_instruction",
}
RISK_TYPE_OF_SUBCATEGORY: dict[str, str | None] = {
    "personal data": "privacy",
    "professional advice": None,
    "political": "politics",
    "sexually explicit": None,
    "violence": None,
    "disinformation": "misleading",
    "sex": "fairness",
    "race": "fairness",
    "other": "fairness",
}


def load_vlguard(path: Path, split: str | None = None) -> list[BenchmarkRow]:
    """
    Loads VLGuard's test part.

    Args:
        path (`Path`): a clone of the repository, or the download from the Hub.
        split (`str`, *optional*): `"unsafes"`, `"safe_unsafes"` or `"safe_safes"`. All where it is left out.

    Returns:
        `list[BenchmarkRow]`: the rows in the order of the files.
    """
    check_split("vlguard", split, list(INSTRUCTION_FIELD))
    table = find_table(path, ["test.json", "data/test.json"])
    folder = table.parent
    image_files = ImageFiles(folder / "test", folder / "VLGuard" / "test", folder / "test.zip", folder)
    rows = []
    for number, record in enumerate(read_json(table)):
        subsets = ("safe_unsafes", "safe_safes") if record.flag("safe") else ("unsafes",)
        subcategory = record.optional_text("harmful_subcategory") or ""
        for subset in subsets:
            instruction = _find_instruction(record, INSTRUCTION_FIELD[subset])
            rows.append(
                BenchmarkRow(
                    id=f"{number}/{record.key('id')}/{subset}",
                    question=instruction.question(INSTRUCTION_FIELD[subset]),
                    images=(image_files.find(record, record.text("image")),),
                    is_harmful=subset != "safe_safes",
                    subset=subset,
                    risk_type=RISK_TYPE_OF_SUBCATEGORY.get(subcategory) if subset == "unsafes" else None,
                    reference=instruction.optional_text("response"),
                )
            )
    image_files.require_all()
    return [row for row in rows if split in (None, row.subset)]


def _find_instruction(record: Record, field: str) -> Record:
    found = [pair for pair in record.records("instr-resp") if field in pair.values]
    if len(found) != 1:
        raise InvalidBenchmarkError(
            f"{record.place}: 'instr-resp' must have {field!r} once where 'safe' is {record.flag('safe')}, but has it "
            f"{len(found)} times."
        )
    return found[0]
