"""
Renders every maker's drawings, each with the name that Unicode gives to what it shows.

    python -m recipes.smol.draw smol/packages smol/drawings.parquet
"""

import json
import re
import tarfile
from pathlib import Path
from typing import Annotated, Any

import typer
from datasets import Dataset, Features, Image, Value
from joblib import Parallel, delayed

from .fetch_packages import Package, read_packages


SIZE = 112
TEXT_COLUMNS = ("maker", "name", "concept", "label", "group", "subgroup")
FEATURES = Features({name: Value("string") for name in TEXT_COLUMNS} | {"image": Image()})
_NO_GROUP = 2
"""Emojibase's group of components, such as skin tones."""


class EmojiNames:
    """What an icon's name stands for, by emojibase's labels, shortcodes and code points."""

    def __init__(self, archive: Path):
        messages = _read(archive, "en/messages.json")
        self.groups = {group["order"]: group["key"] for group in messages["groups"]}
        self.subgroups = {group["order"]: group["key"] for group in messages["subgroups"]}
        known = [entry for entry in _read(archive, "en/data.json") if entry.get("group", _NO_GROUP) != _NO_GROUP]
        self.by_code = {_code(entry["hexcode"]): entry for entry in known}
        self.by_label = {_flat(entry["label"]): entry for entry in known}
        self.by_shortcode: dict[str, dict[str, Any]] = {}
        for source in ("emojibase", "cldr", "github", "joypixels", "iamcal"):
            for code, names in _read(archive, f"en/shortcodes/{source}.json").items():
                for name in [names] if isinstance(names, str) else names:
                    if _code(code) in self.by_code:
                        self.by_shortcode.setdefault(_flat(name), self.by_code[_code(code)])

    def find(self, name: str, code: str | None) -> tuple[int, dict[str, Any] | None]:
        """
        The entry of an icon, and how sure that is: 0 for its code points, more for looser names.

        Args:
            name (`str`): the icon's name in its set, which may begin with a code point or end with a number.
            code (`str`, *optional*): its code points, where the set tells.
        """
        written = re.match(r"u([0-9a-f]{4,5})-", name)
        tries = (
            self.by_code.get(_code(code)) if code else None,
            self.by_code.get(_code(written[1])) if written else None,
            self.by_label.get(_flat(name)),
            self.by_shortcode.get(_flat(name)),
            self.by_label.get(_flat(re.sub(r"-\d+$", "", name))),
        )
        return next(((rank, entry) for rank, entry in enumerate(tries) if entry is not None), (len(tries), None))


def draw_set(package: Package, archive: Path, names: EmojiNames) -> list[dict[str, Any]]:
    """The drawings of one maker, at most one of each concept."""
    import resvg_py

    icons, maker = _read(archive, "icons.json"), package.name.rpartition("/")[2]
    codes: dict[str, str] = {}
    for code, name in _read(archive, "chars.json", missing={}).items():
        codes.setdefault(name, code)
    found = [(*names.find(name, codes.get(name)), name) for name in icons["icons"]]
    # Where two icons claim a concept, the surer one has it.
    found.sort(key=lambda each: (each[0], each[2]))
    rows: list[dict[str, Any]] = []
    drawn: set[str] = set()
    for _, entry, name in found:
        if entry is None or entry["hexcode"] in drawn:
            continue
        drawn.add(entry["hexcode"])
        icon = icons["icons"][name]
        left, top, width, height = (
            icon.get(key, icons.get(key, default))
            for key, default in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
        )
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{left} {top} {width} {height}" width="{SIZE}" height="{SIZE}">{icon["body"]}</svg>'
        )
        png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=SIZE, skip_system_fonts=True))
        rows.append(
            {
                "maker": maker,
                "name": name,
                "concept": entry["hexcode"],
                "label": entry["label"],
                "group": names.groups[entry["group"]],
                "subgroup": names.subgroups[entry["subgroup"]],
                "image": {"bytes": png, "path": None},
            }
        )
    return rows


def _read(archive: Path, name: str, missing: Any = None) -> Any:
    with tarfile.open(archive) as tar:
        if missing is not None and f"package/{name}" not in tar.getnames():
            return missing
        file = tar.extractfile(f"package/{name}")
        assert file is not None
        return json.load(file)


def _code(code: str) -> str:
    """Code points without the sign that asks for colour."""
    return "-".join(part for part in code.upper().split("-") if part != "FE0F")


def _flat(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def main(
    packages: Annotated[Path, typer.Argument(help="The fetched packages.")],
    output: Annotated[Path, typer.Argument(help="The parquet file to write.")],
) -> None:
    """Render all sets."""
    found = {package.name: package for package in read_packages()}
    names = EmojiNames(packages / found["emojibase-data"].file)
    sets = [package for package in found.values() if package.name.startswith("@iconify-json/")]
    drawn = Parallel(n_jobs=-1)(delayed(draw_set)(package, packages / package.file, names) for package in sets)
    rows = [row for rows in drawn for row in rows]
    partial = output.with_name(f".{output.name}.partial")
    Dataset.from_list(rows, features=FEATURES).to_parquet(partial)
    partial.rename(output)


if __name__ == "__main__":
    typer.run(main)
