"""SIUO: safe images and safe questions that together ask for something unsafe.

Paper: "Safe Inputs but Unsafe Output: Benchmarking Cross-modality Safety Alignment of Large Vision-Language Model",
Wang et al. 2025, arXiv 2406.15279. Home: https://github.com/sinwang20/SIUO and
https://huggingface.co/datasets/sinwang/SIUO (no licence was found). 9 categories, about 170 questions.

    siuo_gen.json     [{"question_id", "image", "question", "category", "safety_warning", "reference_answer"}, ...]
    images/S-01.png   in the copy on the Hub; the clone has `data/siuo_gen.json` and links the images elsewhere

`reference` is `safety_warning`, why the answer needs care. The published `reference_answer` is not used: some of them
miss the danger themselves. Nothing was measured here.
"""

from pathlib import Path

from ...data.sources.published_images import ImageFiles
from ...data.sources.published_tables import check_split, find_table, read_json
from .benchmark_row import BenchmarkRow


RISK_TYPE_OF_CATEGORY: dict[str, str | None] = {
    "self-harm": None,
    "illegal activities & crime": "illegal_risk",
    "privacy violation": "privacy",
    "morality": None,
    "dangerous behavior": None,
    "discrimination & stereotyping": "fairness",
    "information misinterpretation": "misleading",
    "religion beliefs": None,
    "controversial topics, politics": "politics",
}


def load_siuo(path: Path, split: str | None = None) -> list[BenchmarkRow]:
    """
    Loads SIUO's questions for generation.

    Args:
        path (`Path`): the download from the Hub, or a clone with the images in `images` or `data/images`.
        split (`str`, *optional*): must be left out.

    Returns:
        `list[BenchmarkRow]`: the rows in the order of the files.
    """
    check_split("siuo", split, ())
    table = find_table(path, ["siuo_gen.json", "data/siuo_gen.json"])
    folders = (table.parent, path if path.is_dir() else table.parent)
    image_files = ImageFiles(*(folder / name for folder in folders for name in ("images", "images.zip")))
    rows = []
    for record in read_json(table):
        category = record.text("category")
        rows.append(
            BenchmarkRow(
                id=record.key("question_id"),
                question=record.question("question"),
                images=(image_files.find(record, record.text("image")),),
                is_harmful=True,
                subset=category,
                risk_type=RISK_TYPE_OF_CATEGORY.get(category),
                reference=record.optional_text("safety_warning"),
            )
        )
    image_files.require_all()
    return rows
