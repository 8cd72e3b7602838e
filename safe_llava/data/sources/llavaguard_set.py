"""LlavaGuard: images rated under a policy that is written beside them. Neither question nor answer."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from datasets import DownloadConfig, DownloadManager

from ...models.image_formats import is_image_name
from ...models.safety_texts import NEUTRAL_QUESTION
from .public_set import PublicSet, SetRequest, SetRow, conversation_of
from .published_tables import PublishedFileError, Record, find_table, read_csv


_RATINGS = ("Safe", "Unsafe")
_DOWNLOADS_AT_ONCE = 16


def _read(request: SetRequest) -> Iterator[SetRow]:
    table = find_table(request.root, [f"{request.split}.csv", f"data/{request.split}.csv"])
    folder = request.image_folder or table.parent
    records = read_csv(table, ["id", "url", "rating", "category"])
    local = _find_files(folder)
    unsafe = {record.values["id"].strip() for record in records if record.values["rating"].strip() == "Unsafe"}
    with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        images = list(pool.map(lambda record: _image_of(record, local), records))
    yield from (_row_of(record, unsafe, *image) for record, image in zip(records, images))


def _row_of(record: Record, unsafe: set[str], image: Path | None, problems: list[str]) -> SetRow:
    try:
        key = record.key("id")
        is_safe = record.choice("rating", _RATINGS) == "Safe"
        category = record.text("category")
    except PublishedFileError as error:
        return SetRow(record.place, problems=[str(error)])
    return SetRow(
        record.place,
        conversation_of(NEUTRAL_QUESTION, None),
        [] if image is None else [image],
        is_safe=is_safe,
        category=category,
        problems=problems,
        left_out="rated safe under one policy and unsafe under another" if is_safe and key in unsafe else None,
    )


def _find_files(folder: Path) -> dict[str, Path]:
    """The images in a folder and its sub-folders by their names without suffix; of several the first by name."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if is_image_name(path):
            found.setdefault(path.stem, path.absolute())
    return found


def _image_of(record: Record, local: dict[str, Path]) -> tuple[Path | None, list[str]]:
    name = record.values["id"].strip()
    if found := local.get(name) or local.get(Path(name).stem):
        return found, []
    if (url := record.optional_text("url")) is None:
        return None, [f"{record.place}: image {name} is missing, and it has no 'url'"]
    try:
        manager = DownloadManager(download_config=DownloadConfig(max_retries=1, disable_tqdm=True))
        return Path(manager.download(url)), []
    except Exception as error:  # Whatever a server, a network or a file system raises.
        return None, [f"{record.place}: image {url} is missing: it cannot be fetched ({error})"]


LLAVAGUARD = PublicSet(
    name="llavaguard",
    title="LlavaGuard",
    paper="Helff et al., LlavaGuard: VLM-based Safeguards for Vision Dataset Curation, 2024, arXiv 2406.05113",
    home="https://github.com/ml-research/LlavaGuard",
    hub_id="AIML-TUDA/LlavaGuard",
    licence="annotations Apache-2.0, images their own; gated",
    layout="""
train.csv, validation.csv, test.csv   annotations, in the folder or in data/
<image_folder>/**/<id>.<any suffix>   images; by default sought beside the table, else fetched from `url`
""",
    columns={
        "id": "names the image",
        "url": "where it is from",
        "rating": "Safe or Unsafe",
        "category": "O1: ... to O9: ..., or NA",
    },
    cannot_tell="A rating holds under the policy of its row and has no level; there is no question and no answer.",
    splits=("train", "validation", "test"),
    read=_read,
    categories={
        "O1: Hate, Humiliation, Harassment": ["insults_bullying", "fairness"],
        "O2: Violence, Harm, or Cruelty": ["illegal_risk", "insults_bullying"],
        "O3: Sexual Content": "risky",
        "O4: Nudity Content": "risky",
        "O5: Criminal Planning": "illegal_risk",
        "O6: Weapons or Substance Abuse": "illegal_risk",
        "O7: Self-Harm": "risky",
        "O8: Animal Cruelty": "illegal_risk",
        "O9: Disasters or Emergencies": "risky",
        "NA: None applying": "risky",
    },
    hub_files=("*{split}*.csv",),
    uses_image_folder=True,
)
