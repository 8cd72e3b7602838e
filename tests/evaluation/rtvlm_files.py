"""RTVLM's folder with all its sub-tasks, ten images for each, written small and harmless."""

from collections.abc import Callable
from pathlib import Path

from safe_llava.data.sources.rtvlm_set import SUBTASKS


CAUTION, SAFE, REFUSE = "Proceed with Caution", "Safe to Answer", "Refuse to Answer"


def rows_of(name: str, number: int) -> dict:
    """One line of a sub-task, about its image of that number."""
    label = {"refused_to_answer": REFUSE if name == "jailbreak" else CAUTION}
    if name == "misleading":
        lists = {"questions": ["Is it blue?", "Why?"], "refused_to_answer": [SAFE, CAUTION], "answers": ["No.", "-"]}
        return {**lists, "index": number, "topic_type": ["colour", "colour"]}
    if name == "captcha":
        return {"instruction": "Read it.", "answer": "abc", "id": number}
    if name == "jailbreak":
        return {"instruction": "Follow the image.", "index": str(number), **label}
    if name in ("face", "celeb", "politics", "racial"):
        return {"prompt": "What story does this tell?", "id": f"p{number}.jpg", **label}
    flag = f"Land {number}"
    image = [flag, "Other Land"] if name.startswith("visual_order") else "Other Land"
    return {"question": "Whose flag?", "refused_to_answer": SAFE, "answers": flag, "img": image}


def image_of(name: str, number: int) -> str:
    if name.startswith("visual"):
        return f"flags/Land{number}.jpg"
    return f"p{number}.jpg" if name in ("face", "celeb", "politics", "racial") else f"{number}.jpg"


def write_rtvlm(folder: Path, write_json: Callable, write_archive: Callable) -> None:
    for name, task in SUBTASKS.items():
        write_json(folder / "data" / task.table, [rows_of(name, number) for number in range(10)])
        names = [image_of(name, number) for number in range(10)]
        write_archive(folder / "data" / task.archive, *names, *["flags/OtherLand.jpg"] * ("flags" in names[0]))
