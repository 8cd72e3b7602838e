"""MM-SafetyBench: requests that are harmless to read, for what they ask about is in the image.

Paper: "MM-SafetyBench: A Benchmark for Safety Evaluation of Multimodal Large Language Models", Liu et al., ECCV 2024,
arXiv 2311.17600. Home: https://github.com/isXinLiu/MM-SafetyBench, CC BY-NC 4.0; the images are an archive that is
linked there. Copy: https://huggingface.co/datasets/PKU-Alignment/MM-SafetyBench, CC BY-NC 4.0. 13 scenarios, 1,680
questions, each with three kinds of image: `SD` (drawn by Stable Diffusion), `TYPO` (the key phrase as text) and
`SD_TYPO` (both).

    data/processed_questions/<NN-scenario>.json  {"0": {"Rephrased Question": ..., "Rephrased Question(SD)": ...}, ...}
    data/imgs/<NN-scenario>/<kind>/<id>.jpg      or the archive, unpacked or not, in `data` or beside it
    data/<scenario>/<kind>.parquet               id,question,image, in the copy

`SD` images go with "Rephrased Question(SD)", the others with "Rephrased Question" (README, Evaluation). Nothing was
measured here.
"""

from pathlib import Path

from ...data.sources.published_images import ImageFiles, embedded_image
from ...data.sources.published_tables import PublishedFileError, check_split, read_json, read_parquet, require_files
from .benchmark_row import BenchmarkRow


QUESTION_FIELD = {
    "SD": "Rephrased Question(SD)",
    "TYPO": "Rephrased Question",
    "SD_TYPO": "Rephrased Question",
}
# Spelled as published.
RISK_TYPE_OF_SCENARIO: dict[str, str | None] = {
    "01-Illegal_Activitiy": "illegal_risk",
    "02-HateSpeech": "insults_bullying",
    "03-Malware_Generation": "illegal_risk",
    "04-Physical_Harm": None,
    "05-EconomicHarm": None,
    "06-Fraud": "illegal_risk",
    "07-Sex": None,
    "08-Political_Lobbying": "politics",
    "09-Privacy_Violence": "privacy",
    "10-Legal_Opinion": None,
    "11-Financial_Advice": None,
    "12-Health_Consultation": None,
    "13-Gov_Decision": None,
}


def load_mm_safetybench(path: Path, split: str | None = None) -> list[BenchmarkRow]:
    """
    Loads MM-SafetyBench; `subset` is kind and scenario, as in `"SD_TYPO/06-Fraud"`.

    Args:
        path (`Path`): a clone with the images, its `data` folder, or a download of the parquet copy.
        split (`str`, *optional*): `"SD"`, `"TYPO"` or `"SD_TYPO"`. All three where it is left out.

    Returns:
        `list[BenchmarkRow]`: the rows in the order of the files.
    """
    check_split("mm_safetybench", split, list(QUESTION_FIELD))
    kinds = list(QUESTION_FIELD) if split is None else [split]
    for data in (path / "data", path):
        if (data / "processed_questions").is_dir():
            return _load_json(data, kinds)
        if list(data.glob("*/*.parquet")):
            return _load_parquet(data, kinds)
    raise PublishedFileError(f"{path} holds neither data/processed_questions nor data/<scenario>/<kind>.parquet.")


def _load_json(data: Path, kinds: list[str]) -> list[BenchmarkRow]:
    folders = (data, data.parent)
    places = [folder / name for folder in folders for name in ("imgs", "MM-SafetyBench(imgs)")]
    image_files = ImageFiles(*places, *(archive for folder in folders for archive in sorted(folder.glob("*.zip"))))
    files = {scenario: data / "processed_questions" / f"{scenario}.json" for scenario in RISK_TYPE_OF_SCENARIO}
    require_files("MM-SafetyBench", files.values())
    rows = [
        BenchmarkRow(
            id=f"{scenario}/{kind}/{record.key('key')}",
            question=record.question(QUESTION_FIELD[kind]),
            images=(image_files.find(record, f"{scenario}/{kind}/{record.key('key')}.jpg"),),
            is_harmful=True,
            subset=f"{kind}/{scenario}",
            risk_type=risk_type,
        )
        for scenario, risk_type in RISK_TYPE_OF_SCENARIO.items()
        for record in read_json(files[scenario])
        for kind in kinds
    ]
    image_files.require_all()
    return rows


def _load_parquet(data: Path, kinds: list[str]) -> list[BenchmarkRow]:
    files = {
        (scenario, kind): data / scenario.partition("-")[2] / f"{kind}.parquet"
        for scenario in RISK_TYPE_OF_SCENARIO
        for kind in kinds
    }
    require_files("MM-SafetyBench", files.values())
    return [
        BenchmarkRow(
            id=f"{scenario}/{kind}/{record.key('id')}",
            question=record.question("question"),
            images=(embedded_image(record, "image"),),
            is_harmful=True,
            subset=f"{kind}/{scenario}",
            risk_type=RISK_TYPE_OF_SCENARIO[scenario],
        )
        for (scenario, kind), file in files.items()
        for record in read_parquet(file, ["id", "question", "image"])
    ]
