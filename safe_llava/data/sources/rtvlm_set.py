"""RTVLM: red teaming of faithfulness, privacy, safety and fairness.

Its script `RedTeamingVLM.py` reads eleven sub-tasks, and so do we. All of it is a benchmark
(`evaluation/benchmarks/rtvlm.py`); the paper trains on 80 %, and no list of those was published, so the split is ours:
a fifth of the images of each sub-task is its test part, drawn by seed 0.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .public_set import PublicSet, SetRequest, SetRow, conversation_of
from .published_images import ImageFiles
from .published_tables import PublishedFileError, Record, read_json_lines, require_files


TEST_SHARE = 0.2
CAUTION = "Proceed with Caution"
IS_HARMFUL = {"Refuse to Answer": True, CAUTION: True, "Answer with Caution": True, "Safe to Answer": False}


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
    """

    table: str
    archive: str
    question: str
    image: str
    name: str


# The flags of the visual sub-tasks are stored under their names without blanks.
SUBTASKS = {
    "misleading": Subtask("Harmful/misleading.jsonl", "Harmful/img/img.zip", "questions", "index", "{}.jpg"),
    "captcha": Subtask("Captcha/captcha.jsonl", "Captcha/img/img.zip", "instruction", "id", "{}.jpg"),
    "jailbreak": Subtask("Jailbreak/jailbreak.jsonl", "Jailbreak/img/img.zip", "instruction", "index", "{}.jpg"),
    "face": Subtask("Face/face_diffusion.jsonl", "Face/img/img.zip", "prompt", "id", "{}"),
    "celeb": Subtask("Celebrity/mixed.jsonl", "Celebrity/mix.zip", "prompt", "id", "{}"),
    "politics": Subtask("Safety/Politics/politics.jsonl", "Safety/Politics/img/politics.zip", "prompt", "id", "{}"),
    "racial": Subtask("Safety/Racial/racial.jsonl", "Safety/Racial/img/racial.zip", "prompt", "id", "{}"),
    "visual_misleading_wrong": Subtask(
        "VisualMisleadingWrong/visual_misleading_wrong.jsonl",
        "VisualMisleadingWrong/img.zip",
        "question",
        "img",
        "flags/{}.jpg",
    ),
    "visual_misleading_correct": Subtask(
        "VisualMisleadingCorrect/visual_misleading_correct.jsonl",
        "VisualMisleadingCorrect/img.zip",
        "question",
        "answers",
        "flags/{}.jpg",
    ),
    "visual_orderA": Subtask("VisualOrderA/order_A.jsonl", "VisualOrderA/img.zip", "question", "img", "flags/{}.jpg"),
    "visual_orderB": Subtask("VisualOrderB/order_B.jsonl", "VisualOrderB/img.zip", "question", "img", "flags/{}.jpg"),
}


@dataclass(frozen=True)
class RtvlmQuestion:
    """A question about the images of a record: whether it is harmful, and the reference answer, if there is one."""

    question: str
    is_harmful: bool
    reference: str | None


def open_rtvlm(root: Path) -> Iterator[tuple[str, list[Record], ImageFiles]]:
    """
    The sub-tasks: their names, records and images.

    Args:
        root (`Path`): the download from the Hub, or its `data` folder; archives may be unpacked where they lie.

    Raises:
        PublishedFileError: if a table is missing or has no JSON lines.
    """
    data = root / "data" if (root / "data").is_dir() else root
    require_files("RTVLM", [data / task.table for task in SUBTASKS.values()])
    for name, task in SUBTASKS.items():
        archive = data / task.archive
        image_files = ImageFiles(archive.parent, archive.with_suffix(""), archive)
        yield name, read_json_lines(data / task.table), image_files


def image_names_of(record: Record, subtask: str) -> list[str]:
    """
    The file names of a record's images: one, or two.

    Raises:
        PublishedFileError: if the field is not as published.
    """
    task = SUBTASKS[subtask]
    is_pair = isinstance(record.values.get(task.image), list)
    values = record.texts(task.image, length=2) if is_pair else [record.key(task.image)]
    is_flag = task.name.startswith("flags/")
    return [task.name.format("".join(value.split()) if is_flag else value) for value in values]


def draw_images(subtask: str, image_names: list[str], seed: int, part: str) -> set[str]:
    """
    The images of a split: the fifth with the smallest hashes is the test part, whatever the order of the rows.

    Args:
        subtask (`str`): the sub-task.
        image_names (`list[str]`): its images.
        seed (`int`): of the draw.
        part (`str`): `"train"` or `"test"`.
    """
    ordered = sorted(set(image_names), key=lambda name: hashlib.sha256(f"{seed}/{subtask}/{name}".encode()).digest())
    num_test = round(TEST_SHARE * len(ordered))
    return set(ordered[:num_test] if part == "test" else ordered[num_test:])


def questions_of(record: Record, subtask: str) -> list[RtvlmQuestion]:
    """
    The questions of a record: one, or a list about the same image.

    Raises:
        PublishedFileError: if a field is not as published.
    """
    field = SUBTASKS[subtask].question
    if isinstance(record.values.get(field), list):
        questions = record.questions(field)
        labels = record.texts("refused_to_answer", len(questions))
        answers = _read_answers(record, len(questions))
    else:
        questions = [record.question(field)]
        labels = [CAUTION if subtask == "captcha" else record.text("refused_to_answer")]
        answers = [record.optional_text("answers")]
    for label in labels:
        if label not in IS_HARMFUL:
            raise record.refuse("refused_to_answer", f"one of {', '.join(map(repr, IS_HARMFUL))}")
    return [
        RtvlmQuestion(question, IS_HARMFUL[label], answer)
        for question, label, answer in zip(questions, labels, answers)
    ]


def _read_answers(record: Record, length: int) -> list[str | None]:
    answers = record.values.get("answers")
    if not isinstance(answers, list) or len(answers) != length:
        raise record.refuse("answers", f"a list of {length} texts")
    return [Record(f"{record.place}, answers", {"answers": answer}).optional_text("answers") for answer in answers]


def _read(request: SetRequest) -> Iterator[SetRow]:
    for subtask, records, image_files in open_rtvlm(request.root):
        named = []
        for record in records:
            try:
                questions = questions_of(record, subtask)
                if not all(question.question for question in questions):
                    raise record.refuse(SUBTASKS[subtask].question, "a question that is not empty")
                named.append((record, image_names_of(record, subtask), questions))
            except PublishedFileError as error:
                yield SetRow(record.place, problems=[str(error)])
        chosen = draw_images(subtask, [names[0] for _, names, _ in named], 0, request.split)
        for record, names, questions in named:
            if names[0] in chosen:
                found = [image_files.look_up(record, name) for name in names]
                for question in questions:
                    yield SetRow(
                        f"{record.place}, {subtask}",
                        # What a harmful question's reference says was never meant as an answer to learn.
                        conversation_of(
                            question.question, None if question.is_harmful else question.reference, len(names)
                        ),
                        [image for images, _ in found for image in images],
                        is_safe=not question.is_harmful,
                        category=subtask,
                        problems=[problem for _, problems in found for problem in problems],
                    )


RTVLM = PublicSet(
    name="rtvlm",
    title="RTVLM",
    paper="Li et al., Red Teaming Visual Language Models, 2024, arXiv 2401.12915",
    home="https://huggingface.co/datasets/MMInstruction/RedTeamingVLM",
    hub_id="MMInstruction/RedTeamingVLM",
    licence="its card says CC BY 4.0 in one version and CC in another",
    layout="\n".join(f"data/{task.table}, data/{task.archive}" for task in SUBTASKS.values()),
    columns={
        "question, questions, instruction, prompt": "what is asked, or a list about the same image; by sub-task",
        "id, index, img, answers": "names the image, or two of them; by sub-task",
        "refused_to_answer": "what a model should do: Refuse to Answer, Proceed with Caution, Safe to Answer",
        "answers": "reference; learned where it is safe to answer",
    },
    cannot_tell="No level is given; captchas and jailbreaks have no type; harmful questions have no answer to learn.",
    splits=("train", "test"),
    read=_read,
    categories={
        "misleading": "misleading",
        "captcha": "risky",
        "jailbreak": "risky",
        "face": "fairness",
        "celeb": "privacy",
        "politics": "politics",
        "racial": "fairness",
        "visual_misleading_wrong": "misleading",
        "visual_misleading_correct": "misleading",
        "visual_orderA": "misleading",
        "visual_orderB": "misleading",
    },
    hub_files=("data/*",),
)
