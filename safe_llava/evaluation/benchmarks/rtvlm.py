"""RTVLM: red teaming of faithfulness, privacy, safety and fairness.

Paper: "Red Teaming Visual Language Models", Li et al. 2024, arXiv 2401.12915 (ten sub-tasks). Home:
https://huggingface.co/datasets/MMInstruction/RedTeamingVLM; its card says CC BY 4.0 in one version and CC in another.
Its script `RedTeamingVLM.py` reads eleven sub-tasks, and so do we:

    data/Harmful/misleading.jsonl, data/Harmful/img/img.zip, and likewise as in [`SUBTASKS`]

`refused_to_answer` says what a model should do. "Refuse to Answer" and the two labels of caution make a row harmful,
"Safe to Answer" does not; captchas have no label and the script gives them caution. `answers`, where there are some,
become the `reference`.

The authors name no test part, so a split here is ours: `seed0-test` is a fifth of the images of each sub-task, drawn
by hashing the seed and the image's name, `seed0-train` is the rest, and any other number is another draw. No image
is in both, but for sub-tasks with two images in a row, of which the first one decides. Nothing was measured here.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .benchmark_images import ImageFiles
from .benchmark_row import BenchmarkRow
from .benchmark_tables import Record, read_json_lines, require_files


TEST_SHARE = 0.2
CAUTION = "Proceed with Caution"
IS_HARMFUL = {"Refuse to Answer": True, CAUTION: True, "Answer with Caution": True, "Safe to Answer": False}
_SPLIT = re.compile(r"seed(\d+)-(train|test)")


@dataclass(frozen=True)
class Subtask:
    """
    How one sub-task is stored.

    Args:
        table (`str`): its JSON lines, in `data`.
        archive (`str`): its zip archive, in `data`.
        question (`str`): the field of the question, or of a list of questions about the same image.
        image (`str`): the field that names the image, or a list of two.
        name (`str`): the image's file name, with `{}` for that field.
        risk_type (`str`, *optional*): the type of its harmful rows.
    """

    table: str
    archive: str
    question: str
    image: str
    name: str
    risk_type: str | None = None


# The flags of the visual sub-tasks are stored under their names without blanks.
SUBTASKS = {
    "misleading": Subtask(
        "Harmful/misleading.jsonl", "Harmful/img/img.zip", "questions", "index", "{}.jpg", "misleading"
    ),
    "captcha": Subtask("Captcha/captcha.jsonl", "Captcha/img/img.zip", "instruction", "id", "{}.jpg"),
    "jailbreak": Subtask("Jailbreak/jailbreak.jsonl", "Jailbreak/img/img.zip", "instruction", "index", "{}.jpg"),
    "face": Subtask("Face/face_diffusion.jsonl", "Face/img/img.zip", "prompt", "id", "{}", "fairness"),
    "celeb": Subtask("Celebrity/mixed.jsonl", "Celebrity/mix.zip", "prompt", "id", "{}", "privacy"),
    "politics": Subtask(
        "Safety/Politics/politics.jsonl", "Safety/Politics/img/politics.zip", "prompt", "id", "{}", "politics"
    ),
    "racial": Subtask("Safety/Racial/racial.jsonl", "Safety/Racial/img/racial.zip", "prompt", "id", "{}", "fairness"),
    "visual_misleading_wrong": Subtask(
        "VisualMisleadingWrong/visual_misleading_wrong.jsonl",
        "VisualMisleadingWrong/img.zip",
        "question",
        "img",
        "flags/{}.jpg",
        "misleading",
    ),
    "visual_misleading_correct": Subtask(
        "VisualMisleadingCorrect/visual_misleading_correct.jsonl",
        "VisualMisleadingCorrect/img.zip",
        "question",
        "answers",
        "flags/{}.jpg",
        "misleading",
    ),
    "visual_orderA": Subtask(
        "VisualOrderA/order_A.jsonl", "VisualOrderA/img.zip", "question", "img", "flags/{}.jpg", "misleading"
    ),
    "visual_orderB": Subtask(
        "VisualOrderB/order_B.jsonl", "VisualOrderB/img.zip", "question", "img", "flags/{}.jpg", "misleading"
    ),
}


def load_rtvlm(path: Path, split: str | None = None) -> list[BenchmarkRow]:
    """
    Loads RTVLM; `subset` is the sub-task.

    Args:
        path (`Path`): the download from the Hub, or its `data` folder; archives may be unpacked where they lie.
        split (`str`, *optional*): `"seed0-test"`, `"seed0-train"`, or with another number. All where it is left out.

    Returns:
        `list[BenchmarkRow]`: the rows in the order of the files.
    """
    named = _SPLIT.fullmatch(split or "")
    if split is not None and named is None:
        raise ValueError(f"rtvlm has no split {split!r}: ours are named as in 'seed0-test' and 'seed0-train'.")
    data = path / "data" if (path / "data").is_dir() else path
    require_files("RTVLM", [data / task.table for task in SUBTASKS.values()])
    rows: list[BenchmarkRow] = []
    for name, task in SUBTASKS.items():
        archive = data / task.archive
        image_files = ImageFiles(archive.parent, archive.with_suffix(""), archive)
        records = read_json_lines(data / task.table)
        named_images = [_image_names(record, task) for record in records]
        chosen = _draw(name, [names[0] for names in named_images], int(named[1]), named[2]) if named else None
        for number, (record, names) in enumerate(zip(records, named_images)):
            images = tuple(image_files.find(record, image) for image in names)
            if chosen is None or names[0] in chosen:
                rows += _build_rows(record, name, task, number, images)
        image_files.require_all()
    return rows


def _image_names(record: Record, task: Subtask) -> list[str]:
    is_pair = isinstance(record.values.get(task.image), list)
    values = record.texts(task.image, length=2) if is_pair else [record.key(task.image)]
    is_flag = task.name.startswith("flags/")
    return [task.name.format("".join(value.split()) if is_flag else value) for value in values]


def _draw(subtask: str, image_files: list[str], seed: int, part: str) -> set[str]:
    """The images of a split: the fifth with the smallest hashes is the test part, whatever the order of the rows."""
    ordered = sorted(set(image_files), key=lambda name: hashlib.sha256(f"{seed}/{subtask}/{name}".encode()).digest())
    num_test = round(TEST_SHARE * len(ordered))
    return set(ordered[:num_test] if part == "test" else ordered[num_test:])


def _build_rows(
    record: Record, name: str, task: Subtask, number: int, images: tuple[Path | bytes, ...]
) -> Iterator[BenchmarkRow]:
    if isinstance(record.values.get(task.question), list):
        questions = record.questions(task.question)
        labels = record.texts("refused_to_answer", len(questions))
        answers = _read_answers(record, len(questions))
    else:
        questions = [record.question(task.question)]
        labels = [CAUTION if name == "captcha" else record.text("refused_to_answer")]
        answers = [record.optional_text("answers")]
    for index, (question, label, answer) in enumerate(zip(questions, labels, answers)):
        if label not in IS_HARMFUL:
            raise record.refuse("refused_to_answer", f"one of {', '.join(map(repr, IS_HARMFUL))}")
        yield BenchmarkRow(
            id=f"{name}/{number}" if len(questions) == 1 else f"{name}/{number}.{index}",
            question=question,
            images=images,
            is_harmful=IS_HARMFUL[label],
            subset=name,
            risk_type=task.risk_type if IS_HARMFUL[label] else None,
            reference=answer,
        )


def _read_answers(record: Record, length: int) -> list[str | None]:
    answers = record.values.get("answers")
    if not isinstance(answers, list) or len(answers) != length:
        raise record.refuse("answers", f"a list of {length} texts")
    return [Record(f"{record.place}, answers", {"answers": answer}).optional_text("answers") for answer in answers]
