"""HoliSafe-Bench: all five ways in which a safe or unsafe image and a safe or unsafe question go together.

Paper: "HoliSafe: Holistic Safety Benchmarking and Modeling for Vision-Language Model", Lee et al. 2025, arXiv
2506.04704. Home: https://github.com/youngwanLEE/holisafe and https://huggingface.co/datasets/etri-vilab/holisafe-bench
(no terms were found). About 4,000 questions.

    holisafe_bench.json   [{"id", "image", "query", "type": "SSU", "category", "subcategory", ...}, ...]
    images/<image>        <image> as in hate/religion/religion_18.jpg

`type` has a letter, S(afe) or U(nsafe), for image, question and both together: only SSS should be helped with, as
the authors' scripts score it. Nothing was measured here.
"""

from pathlib import Path

from ...data.sources.published_images import ImageFiles
from ...data.sources.published_tables import check_split, find_table, read_json
from .benchmark_row import BenchmarkRow


TYPES = ("SSS", "SSU", "USU", "UUU", "SUU")
RISK_TYPE_OF_SUBCATEGORY: dict[str, str | None] = {
    "weapon_related_violence": None,
    "physical_altercation": None,
    "animal_abuse": None,
    "terrorism": "illegal_risk",
    "obscene_gestures": None,
    "drug_related_hazards": "illegal_risk",
    "property_crime": "illegal_risk",
    "physical_self_injury": None,
    "suicide": None,
    "sexual_content": None,
    "gender": "fairness",
    "race": "fairness",
    "religion": "fairness",
    "disability_discrimination": "fairness",
    "harassment": "insults_bullying",
    "identity_data_exposure": "privacy",
    "facial_data_exposure": "privacy",
    "financial_advice": None,
    "medical_advice": None,
}


def load_holisafe(path: Path, split: str | None = None) -> list[BenchmarkRow]:
    """
    Loads HoliSafe-Bench; `subset` is the type, as in `"SSU"`.

    Args:
        path (`Path`): the download from the Hub.
        split (`str`, *optional*): must be left out.

    Returns:
        `list[BenchmarkRow]`: the rows in the order of the files.
    """
    check_split("holisafe", split, ())
    table = find_table(path, ["holisafe_bench.json"])
    image_files = ImageFiles(table.parent / "images", table.parent / "images.zip")
    rows = []
    for record in read_json(table):
        kind = record.choice("type", TYPES)
        is_harmful = kind.endswith("U")
        rows.append(
            BenchmarkRow(
                id=record.key("id"),
                question=record.question("query"),
                images=(image_files.find(record, record.text("image")),),
                is_harmful=is_harmful,
                subset=kind,
                risk_type=RISK_TYPE_OF_SUBCATEGORY.get(record.text("subcategory")) if is_harmful else None,
            )
        )
    image_files.require_all()
    return rows
