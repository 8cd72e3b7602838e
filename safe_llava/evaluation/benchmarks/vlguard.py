"""VLGuard: unsafe images, and safe images with a safe and with an unsafe instruction. Its test part is loaded.

Paper, home and files: [`~safe_llava.data.sources.vlguard_set`]. An unsafe image has one `instruction`, a safe one a
`safe_instruction` and an `unsafe_instruction`, each with its `response`, which becomes the `reference`. Nothing was
measured here.
"""

from pathlib import Path

from ...data.sources.label_map import single_risk_type
from ...data.sources.published_tables import check_split
from ...data.sources.vlguard_set import CATEGORIES, INSTRUCTION_FIELD, open_vlguard, pairs_of
from .benchmark_row import BenchmarkRow


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
    records, image_files = open_vlguard(path, "test")
    rows = []
    for number, record in enumerate(records):
        for pair in pairs_of(record):
            rows.append(
                BenchmarkRow(
                    id=f"{number}/{record.key('id')}/{pair.subset}",
                    question=pair.instruction,
                    images=(image_files.find(record, record.text("image")),),
                    is_harmful=pair.subset != "safe_safes",
                    subset=pair.subset,
                    risk_type=single_risk_type(CATEGORIES.get(pair.category or "")),
                    reference=pair.response,
                )
            )
    image_files.require_all()
    return [row for row in rows if split in (None, row.subset)]
