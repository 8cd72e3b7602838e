"""MOSSBench: harmless questions about images that make a model refuse for a wrong reason.

Paper: "MOSSBench: Is Your Multimodal Language Model Oversensitive to Safe Queries?", Li et al. 2024, arXiv 2406.17806.
Home: https://github.com/xirui-li/MOSSBench and https://huggingface.co/datasets/AIcell/MOSSBench; CC BY-SA 4.0, for
testing only, says the README. 300 questions, 100 for each of three reasons.

    information.csv            pid,question,image_path,short description,description,meta_data_over,meta_data_human,...
    data/images/<pid>.png      in the clone; images/<pid>.png or images.zip beside the table in other copies
    data/images_information/information.json      the same rows by pid, with `image` and `metadata.over`

Known of the published files: `image_path` is `images/<pid>.png`, counted from `data/` in the clone; older copies hold
the images as `.webp`; `meta_data_over` is the reason, or `type 1` to `type 3` in older copies; `description` may be
empty. All questions should be answered. The contrast set (`data_contrast/`) is not loaded.
Nothing was measured here.
"""

from pathlib import Path

from ...data.sources.published_images import ImageFiles
from ...data.sources.published_tables import Record, check_split, find_table, read_csv, read_json
from .benchmark_row import BenchmarkRow


TABLES = (
    "information.csv",
    "data/information.csv",
    "images_information/information.json",
    "data/images_information/information.json",
)
REASONS = {
    "type 1": "Exaggerated Risk",
    "type 2": "Negated Harm",
    "type 3": "Counterintuitive Interpretation",
}


def load_mossbench(path: Path, split: str | None = None) -> list[BenchmarkRow]:
    """
    Loads MOSSBench.

    Args:
        path (`Path`): a clone of the repository, its `data` folder, or a folder with `information.csv` and `images`.
        split (`str`, *optional*): must be left out.

    Returns:
        `list[BenchmarkRow]`: the rows in the order of the files.
    """
    check_split("mossbench", split, ())
    table = find_table(path, TABLES)
    if table.suffix == ".json":
        base, records = table.parent.parent, [_flatten(record) for record in read_json(table)]
    else:
        base, records = table.parent, read_csv(table, ["pid", "question", "image_path", "meta_data_over"])
    image_files = ImageFiles(base, base / "data", base / "images.zip", base / "data" / "images.zip")
    rows = []
    for record in records:
        name = record.text("image_path")
        reason = record.choice("meta_data_over", [*REASONS.values(), *REASONS])
        rows.append(
            BenchmarkRow(
                id=record.key("pid"),
                question=record.question("question"),
                images=(image_files.find(record, name, name.removeprefix("images/")),),
                is_harmful=False,
                subset=REASONS.get(reason, reason),
            )
        )
    image_files.require_all()
    return rows


def _flatten(record: Record) -> Record:
    """An entry of `information.json` under the column names of `information.csv`."""
    metadata = record.values.get("metadata")
    if not isinstance(metadata, dict) or "over" not in metadata:
        raise record.refuse("metadata", "an object with the field 'over'")
    values = {**record.values, "meta_data_over": metadata["over"]}
    values["image_path"] = values.pop("image", None)
    return Record(record.place, values)
