"""Rows of LLaVA's JSON, as two public sets are published: a list, lines, or either in gz."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..author_format import parse_record
from ..json_records import read_records
from .public_set import SetRequest, SetRow
from .published_tables import PublishedFileError


_SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")


def read_llava_rows(
    request: SetRequest, names: tuple[str, ...], labels: dict[str, Any] | None = None
) -> Iterator[SetRow]:
    """
    The rows of the table.

    Args:
        request ([`SetRequest`]): what is wanted.
        names (`tuple[str, ...]`): what the table is called; else it is the only JSON file of the folder.
        labels (`dict[str, Any]`, *optional*): the labels of every row. Defaults to those that it has.

    Yields:
        [`SetRow`]

    Raises:
        PublishedFileError: if there is no such table, or several could be it.
    """
    table = _find_table(request.root, names)
    folder = request.image_folder or table.parent
    for number, record in read_records(table).items():
        row, problems = parse_record(record, folder, labels or {})
        place = f"{table}, row {number}"
        label_problems: list[str] = []
        if labels is None and not problems:
            row, label_problems = parse_record(record, folder)
        images = [cell["bytes"] or Path(cell["path"]) for cell in row.get("images", [])]
        missing = [f"image {image} is missing" for image in images if isinstance(image, Path) and not image.is_file()]
        yield SetRow(
            place,
            row.get("messages", []),
            images,
            labels={name: value for name, value in row.items() if name not in ("messages", "images")},
            problems=[f"{place}: {problem}" for problem in (*problems, *missing)],
            label_problems=label_problems,
        )


def _find_table(root: Path, names: tuple[str, ...]) -> Path:
    if root.is_file():
        return root
    named = [root / name for name in names if (root / name).is_file()]
    found = named[:1] or sorted(path for path in root.iterdir() if path.name.endswith(_SUFFIXES))
    if len(found) != 1:
        holds = ", ".join(path.name for path in found) or "none"
        raise PublishedFileError(f"{root} must hold one JSON file, or {' or '.join(names)}; it holds {holds}.")
    return found[0]
