"""Where a source lies and what state it is in: an audit goes on with the one that it began with, or not at all."""

import json
from pathlib import Path

from ..data.folder_files import list_files
from ..data.source_forms import form_of, form_of_name
from ..data.sources import is_public_set
from ..data.tar_samples import expand_urls
from .audit_state import digest
from .sources import SourceSpec


_CACHE = "cache-"
"""How `datasets` names what it keeps beside rows that were saved, which changes with each use of them."""


def find_place(spec: SourceSpec) -> str | None:
    """Where a file or folder on the disk lies; `None` for a source on the Hub, an address, a wildcard."""
    named = spec.root if is_public_set(spec.source) else spec.source
    return str(Path(named).absolute()) if named and Path(named).exists() else None


def digest_files(spec: SourceSpec, output_dir: Path, manifest: Path) -> str | None:
    """
    Changes with the names, sizes and times of a source's files on the disk; `None` where a manifest names its rows.

    Where each file is a shard, one that broke off may be mended before an audit goes on: its name alone counts.

    Args:
        spec ([`SourceSpec`]): the source.
        output_dir (`Path`): the folder of the audit, which is no part of it.
        manifest (`Path`): the manifest, if there is one.
    """
    if manifest.exists():
        return None
    files = _find_files(spec, output_dir)
    if tars := [file for file in files if form_of_name(file) == "tars"]:
        files = tars
    if tars or spec.streaming:
        return digest(json.dumps([str(file) for file in files]).encode())
    states = [(str(file), file.stat()) for file in files]
    return digest(json.dumps([(name, state.st_size, state.st_mtime_ns) for name, state in states]).encode())


def _find_files(spec: SourceSpec, output_dir: Path) -> list[Path]:
    place = find_place(spec)
    if place is not None:
        path = Path(place)
        files = list_files(path, output_dir)[0] if path.is_dir() else [path]
        return [file for file in files if not file.name.startswith(_CACHE)]
    if is_public_set(spec.source) or "://" in spec.source or form_of(spec.source) == "hub":
        return []
    return [Path(name).absolute() for name in expand_urls(spec.source)]
