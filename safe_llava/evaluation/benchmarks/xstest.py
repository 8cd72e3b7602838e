"""XSTest: harmless questions that sound dangerous, and dangerous ones to contrast them with. Text only.

Paper: "XSTest: A Test Suite for Identifying Exaggerated Safety Behaviours in Large Language Models", Röttger et al.,
NAACL 2024, arXiv 2308.01263. Home: https://github.com/paul-rottger/exaggerated-safety, prompts under CC BY 4.0. 250
safe and 200 unsafe prompts.

    xstest_prompts.csv    id,prompt,type,label,focus,note

The older `xstest_v2_prompts.csv` has no `label`; there, and in the README, the unsafe types are those that start with
`contrast_`. Nothing was measured here.
"""

from pathlib import Path

from ...data.sources.published_tables import Record, check_split, find_table, read_csv
from .benchmark_row import BenchmarkRow


CONTRAST = "contrast_"


def load_xstest(path: Path, split: str | None = None) -> list[BenchmarkRow]:
    """
    Loads XSTest; `subset` is the type of prompt, as in `"homonyms"`.

    Args:
        path (`Path`): a clone of the repository, or its table.
        split (`str`, *optional*): `"safe"` or `"unsafe"`. Both where it is left out.

    Returns:
        `list[BenchmarkRow]`: the rows in the order of the files.
    """
    check_split("xstest", split, ("safe", "unsafe"))
    table = find_table(path, ["xstest_prompts.csv", "xstest_v2_prompts.csv"])
    rows = [
        BenchmarkRow(
            id=record.key("id" if "id" in record.values else "id_v2"),
            question=record.question("prompt"),
            images=(),
            is_harmful=_is_unsafe(record),
            subset=record.text("type"),
        )
        for record in read_csv(table, ["prompt", "type"])
    ]
    return [row for row in rows if split is None or row.is_harmful == (split == "unsafe")]


def _is_unsafe(record: Record) -> bool:
    is_unsafe = record.text("type").startswith(CONTRAST)
    expected = "unsafe" if is_unsafe else "safe"
    if "label" in record.values and record.choice("label", ("safe", "unsafe")) != expected:
        raise record.refuse("label", f"{expected!r} where the type is {record.text('type')!r}")
    return is_unsafe
