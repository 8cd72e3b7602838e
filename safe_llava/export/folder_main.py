"""Assesses images with an exported guard: `python guard images/ --text "Who is this?"`."""

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any


def load_package(folder: Path) -> Any:
    """The folder as a package, whatever its name is."""
    spec: Any = importlib.util.spec_from_file_location(
        "exported_guard", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules["exported_guard"] = package
    spec.loader.exec_module(package)
    return package


def main(folder: Path) -> int:
    parser = argparse.ArgumentParser(prog=f"python {folder.name}", description="One line of JSON for each image.")
    parser.add_argument("images", nargs="+", type=Path, help="Image files, and folders of them.")
    parser.add_argument("--text", help="What is asked about each image; by default a neutral question.")
    parser.add_argument("--batch-size", type=int, default=32, help="Images assessed at once.")
    parser.add_argument("--threads", type=int, default=0, help="Of onnxruntime; 0 takes every core.")
    options = parser.parse_args()
    if options.batch_size < 1 or options.threads < 0:
        parser.error("--batch-size must be 1 or more, and --threads 0 or more")
    paths = [
        path
        for given in options.images
        for path in (sorted(found for found in given.rglob("*") if found.is_file()) if given.is_dir() else [given])
    ]
    if not paths:
        parser.error(f"there is no file in {', '.join(map(str, options.images))}")
    try:
        guard = load_package(folder).OnnxGuard(folder, num_threads=options.threads)
    except (ModuleNotFoundError, ValueError) as error:
        needs = "It needs: pip install onnxruntime tokenizers jinja2 pillow numpy"
        parser.exit(1, f"Error: {error}\n" + (f"{needs}\n" if isinstance(error, ModuleNotFoundError) else ""))
    unreadable = 0
    for start in range(0, len(paths), options.batch_size):
        readable, lines = [], {}
        for path in paths[start : start + options.batch_size]:
            try:
                readable.append((path, sys.modules["exported_guard.image_reading"].read_image(path).image))
            except ValueError as error:
                lines[path] = {"unreadable": str(error)}
        try:
            results = guard([{"image": image, "text": options.text} for _, image in readable]) if readable else []
        except ValueError as error:  # Of the question, which is that of all.
            parser.exit(1, f"Error: {error}\n")
        lines |= {path: result for (path, _), result in zip(readable, results)}
        for path in paths[start : start + options.batch_size]:
            unreadable += "unreadable" in lines[path]
            print(json.dumps({"image": str(path), **lines[path]}, ensure_ascii=False), flush=True)
    return 3 if unreadable else 0


if __name__ == "__main__":
    try:
        sys.exit(main(Path(__file__).absolute().parent))
    except KeyboardInterrupt:
        sys.exit(130)
