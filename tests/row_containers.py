"""The same rows in every container that holds rows, and an image in every way that a row may give it."""

import base64
import csv
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict


Rows = list[dict[str, Any]]

WAYS: dict[str, Callable[[str, bytes, Path], Any]] = {
    "name": lambda name, encoded, folder: name,
    "absolute path": lambda name, encoded, folder: str(folder / name),
    "base64": lambda name, encoded, folder: base64.b64encode(encoded).decode(),
    "data URL": lambda name, encoded, folder: f"data:image/png;base64,{base64.b64encode(encoded).decode()}",
    "path in a dictionary": lambda name, encoded, folder: {"bytes": None, "path": name},
    "base64 in a dictionary": lambda name, encoded, folder: {
        "bytes": base64.b64encode(encoded).decode(),
        "path": "gone.png",
    },
    "bytes": lambda name, encoded, folder: encoded,
    "bytes in a dictionary": lambda name, encoded, folder: {"bytes": encoded, "path": "gone.png"},
    "URL": lambda name, encoded, folder: f"http://127.0.0.1:9/{name}",
}
IN_TEXT = ("name", "absolute path", "base64", "data URL", "URL")
IN_JSON = (*IN_TEXT, "path in a dictionary", "base64 in a dictionary")
IN_TABLES = (*IN_TEXT, "path in a dictionary", "bytes", "bytes in a dictionary")


def _csv(delimiter: str) -> Callable[[Rows], bytes]:
    def write(rows: Rows) -> bytes:
        file = io.StringIO(newline="")
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(file, names, delimiter=delimiter)
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
        return file.getvalue().encode()

    return write


def _cell(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "<split>".join(value)
    return json.dumps(value) if isinstance(value, list) else value


def _file(name: str, write: Callable[[Rows], bytes]) -> Callable[[Path, Rows], Path]:
    def to_folder(folder: Path, rows: Rows) -> Path:
        content = write(rows)
        (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return folder / name

    return to_folder


def _table(rows: Rows) -> pa.Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})


def _parquet(folder: Path, rows: Rows) -> Path:
    pq.write_table(_table(rows), folder / "rows.parquet")
    return folder / "rows.parquet"


def _two_parquets(folder: Path, rows: Rows) -> Path:
    table = _table(rows)
    pq.write_table(table.slice(0, 1), folder / "part-0.parquet")
    pq.write_table(table.slice(1), folder / "part-1.parquet")
    return folder / "part-*.parquet"


def _arrow(folder: Path, rows: Rows) -> Path:
    table = _table(rows)
    with pa.OSFile(str(folder / "rows.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return folder / "rows.arrow"


def _folder_of_parquet(folder: Path, rows: Rows) -> Path:
    (folder / "tables").mkdir()
    pq.write_table(_table(rows), folder / "tables" / "train.parquet")
    return folder / "tables"


def _saved(folder: Path, rows: Rows) -> Path:
    Dataset(_table(rows)).save_to_disk(folder / "saved")
    return folder / "saved"


def _saved_splits(folder: Path, rows: Rows) -> Path:
    DatasetDict({"train": Dataset(_table(rows))}).save_to_disk(folder / "splits")
    return folder / "splits"


LISTS: dict[str, Callable[[Path, Rows], Path]] = {
    "list": _file("rows.json", lambda rows: json.dumps(rows).encode()),
    "lines": _file("rows.jsonl", lambda rows: "\n".join(map(json.dumps, rows)).encode()),
    "indented in gz": _file("rows.json.gz", lambda rows: json.dumps(rows, indent=1).encode()),
}
TEXTS: dict[str, Callable[[Path, Rows], Path]] = {
    "csv": _file("rows.csv", _csv(",")),
    "csv in gz": _file("rows.csv.gz", _csv(",")),
    "tsv": _file("rows.tsv", _csv("\t")),
}
TABLES: dict[str, Callable[[Path, Rows], Path]] = {
    "parquet": _parquet,
    "two parquet files": _two_parquets,
    "arrow": _arrow,
    "saved": _saved,
    "saved splits": _saved_splits,
    "folder of parquet": _folder_of_parquet,
}
CONTAINERS = {**LISTS, **TEXTS, **TABLES}
WAYS_OF = {name: IN_JSON if name in LISTS else IN_TEXT if name in TEXTS else IN_TABLES for name in CONTAINERS}


def write_tar(path: Path, samples: Iterable[dict[str, bytes]]) -> Path:
    """Samples of a tar file, each by its members' suffixes."""
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for number, sample in enumerate(samples):
            for suffix, data in sample.items():
                member = tarfile.TarInfo(f"{number:04}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return path
