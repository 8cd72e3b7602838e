"""VLSBench: risky images with questions that do not give the risk away.

Paper: "VLSBench: Unveiling Visual Leakage in Multimodal Safety", Hu et al. 2024, arXiv 2411.19939. Home:
https://github.com/AI45Lab/VLSBench and https://huggingface.co/datasets/Foreshhh/vlsbench, Apache-2.0 by its card.
2,241 questions in 6 categories.

    data.json     [{"instruction_id", "instruction", "image_path": "imgs/0.png", "category", "sub_category", ...}, ...]
    imgs.tar      or the same unpacked to imgs/; unpack it to keep 2.4 GB of images out of the memory

One published row has an empty instruction, and is left out. Nothing was measured here.
"""

from pathlib import Path

from ...data.sources.published_images import ImageFiles
from ...data.sources.published_tables import check_split, find_table, read_json
from .benchmark_row import BenchmarkRow


RISK_TYPE_OF_CATEGORY: dict[str, str | None] = {
    "Erotic": None,
    "Hate": "insults_bullying",
    "Illegal Activity": "illegal_risk",
    "Privacy": "privacy",
    "Self-Harm": None,
    "Violent": None,
}


def load_vlsbench(path: Path, split: str | None = None) -> list[BenchmarkRow]:
    """
    Loads VLSBench.

    Args:
        path (`Path`): the download from the Hub.
        split (`str`, *optional*): must be left out.

    Returns:
        `list[BenchmarkRow]`: the rows in the order of the files.
    """
    check_split("vlsbench", split, ())
    table = find_table(path, ["data.json", "data/data.json"])
    folders = (table.parent, path if path.is_dir() else table.parent)
    # Listing the members of a tar takes a pass over all of it, so it is only opened where it was not unpacked.
    image_files = ImageFiles(*folders, *(folder / "imgs.tar" for folder in folders if not (folder / "imgs").is_dir()))
    rows = []
    for record in read_json(table):
        category = record.text("category")
        rows.append(
            BenchmarkRow(
                id=record.key("instruction_id"),
                question=record.question("instruction"),
                images=(image_files.find(record, record.text("image_path")),),
                is_harmful=True,
                subset=category,
                risk_type=RISK_TYPE_OF_CATEGORY.get(category),
            )
        )
    image_files.require_all()
    return rows
