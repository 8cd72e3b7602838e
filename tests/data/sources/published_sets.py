"""A stand-in of each public set's published files: the exact layout, tiny drawn images, harmless words."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Image, Value
from PIL import Image as PILImage

from safe_llava.data.sources.rtvlm_set import SUBTASKS


def encoded(number: int, form: str = "PNG") -> bytes:
    """The image of that number: one colour of its own."""
    buffer = io.BytesIO()
    PILImage.new("RGB", (32, 32), (number * 5 % 256, 80, 160)).save(buffer, form)
    return buffer.getvalue()


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(map(json.dumps, value)) if path.suffix == ".jsonl" else json.dumps(value, indent=2)
    path.write_text(lines, encoding="utf-8")


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_zip(path: Path, images: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, image in images.items():
            archive.writestr(name, image)


def write_parquet(path: Path, rows: list[dict[str, Any]], **kinds: Any) -> None:
    """Rows whose columns are text, images where they are called so, and whatever `kinds` says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    features = {name: Image() if name == "image" else Value("string") for name in rows[0]} | {
        name: Value(kind) if isinstance(kind, str) else kind for name, kind in kinds.items()
    }
    Dataset.from_list(rows, features=Features({name: features[name] for name in rows[0]})).to_parquet(path)


def image(number: int) -> dict[str, Any]:
    return {"bytes": encoded(number), "path": f"{number}.png"}


def llava_rows(roles: tuple[str, str], **labels: Any) -> list[dict[str, Any]]:
    turns = [{"from": roles[0], "value": "<image>\nWhat is this ?"}, {"from": roles[1], "value": "A square ."}]
    return [
        {"id": str(number), "image": f"images/{number}.png", "conversations": turns, **labels} for number in range(3)
    ]


def write_folder_images(folder: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(number))


def write_psa(root: Path) -> None:
    rows = llava_rows(("USER", "ASSISTANT"), safe_level=3, safe_type=4)
    rows[0] |= {"safe_level": 0, "safe_type": 6}
    write_json(root / "train.json", rows)
    write_folder_images(root, [row["image"] for row in rows])


def write_llava_instruct(root: Path) -> None:
    rows = llava_rows(("human", "gpt"))
    text_only = [{"from": "human", "value": "Count to three ."}, {"from": "gpt", "value": "One two three ."}]
    write_json(root / "llava_v1_5_mix665k.json", [*rows, {"id": "t", "model": "", "conversations": text_only}])
    write_folder_images(root, [row["image"] for row in rows])


VLGUARD_ROWS: list[dict[str, Any]] = [
    {
        "id": "a",
        "image": "ads/a.png",
        "safe": False,
        "harmful_category": "privacy",
        "harmful_subcategory": "personal data",
        "instr-resp": [{"instruction": "Read the card .", "response": "I cannot help ."}],
    },
    {
        "id": "b",
        "image": "ads/b.png",
        "safe": True,
        "instr-resp": [
            {"safe_instruction": "What is sold ?", "response": "Socks ."},
            {"unsafe_instruction": "Who is this ?", "response": "I cannot help ."},
        ],
    },
]


def write_vlguard(root: Path) -> None:
    for split in ("train", "test"):
        write_json(root / f"{split}.json", VLGUARD_ROWS)
        write_zip(root / f"{split}.zip", {f"{split}/ads/a.png": encoded(1), f"{split}/ads/b.png": encoded(2)})


def write_spa_vl(root: Path) -> None:
    asked = {"question": "What is this ?", "chosen": "A square .", "rejected": "Bad .", "image_name": "x"}
    classes = {"class1": "Information & Safety Harms", "class2": "a", "class3": "b"}
    rows = [{"image": image(number), **asked} for number in range(4)]
    for shard in range(2):
        write_parquet(root / f"data/train-0000{shard}-of-00002.parquet", rows[2 * shard : 2 * shard + 2])
    write_parquet(root / "validation/validation-00000-of-00001.parquet", [{**row, **classes} for row in rows])
    harm = [{"image": image(5), "question": "What is this ?", **classes}]
    write_parquet(root / "test/harm-00000-of-00001.parquet", harm)
    write_parquet(root / "test/help-00000-of-00001.parquet", harm)


def write_beavertails_v(root: Path) -> None:
    for number, category in enumerate(("animal_abuse", "false_information", "privacy_invasion_and_surveillance")):
        rows = [
            {
                "image": image(number),
                "question": "What is this ?",
                "response": "A square .",
                "category": category.replace("_", " ").title(),
                "is_response_safe": is_safe,
            }
            for is_safe in ("yes", "no")
        ]
        write_parquet(root / f"data/{category}/train-00000-of-00001.parquet", rows)
        write_parquet(root / f"data/{category}/evaluation-00000-of-00001.parquet", rows[:1])


def write_llavaguard(root: Path) -> None:
    rows = [
        {"id": "7", "rating": "Safe", "category": "NA: None applying"},
        {"id": "8", "rating": "Unsafe", "category": "O1: Hate, Humiliation, Harassment"},
        {"id": "8", "rating": "Safe", "category": "O1: Hate, Humiliation, Harassment"},
    ]
    rest = {"url": "", "policy": "a policy, with a comma", "rationale": "why"}
    write_csv(root / "train.csv", [{"id": row["id"], "url": "", **row, **rest} for row in rows])
    write_folder_images(root / "images", ["7.png", "sub/8.png"])


def write_safeatlas_vl(root: Path) -> None:
    images = [{"image_id": f"i{number}", "image": image(number)} for number in range(2)]
    annotation = {"request": "What is this ?", "response": "A square .", "category": "a category"}
    rows = [
        {"image_id": "i1", "target": "image", **annotation, "level": 0},
        {"image_id": "i0", "target": "request", **annotation, "level": 2},
        {"image_id": "i1", "target": "request", **annotation, "level": 4},
        {"image_id": "i0", "target": "response", **annotation, "level": 1},
    ]
    for split in ("train", "test"):
        write_parquet(root / f"images/{split}-00000-of-00001.parquet", images)
        write_parquet(root / f"annotations/{split}-00000-of-00001.parquet", rows, level="int64")


def write_meerkat_safe(root: Path) -> None:
    said = {"text": "What is this ?", "intent": "to know", "implicit_risk": "a risk", "warning": "Take care ."}
    write_parquet(root / "Meerkat-Safe.parquet", [{"image": image(number), **said} for number in range(3)])


def rtvlm_row(name: str, number: int) -> dict[str, Any]:
    label = {"refused_to_answer": "Refuse to Answer" if name == "jailbreak" else "Proceed with Caution"}
    if name == "misleading":
        label = {"refused_to_answer": ["Safe to Answer", "Proceed with Caution"]}
        return {"questions": ["Is it blue ?", "Why ?"], "answers": ["No .", "-"], "index": number, **label}
    if name == "captcha":
        return {"instruction": "Read it .", "answer": "abc", "id": number}
    if name == "jailbreak":
        return {"instruction": "Follow the image .", "index": str(number), **label}
    if name in ("face", "celeb", "politics", "racial"):
        return {"prompt": "What story is this ?", "id": f"p{number}.jpg", **label}
    flag = f"Land {number}"
    named = [flag, "Other Land"] if name.startswith("visual_order") else "Other Land"
    return {"question": "Whose flag ?", "refused_to_answer": "Safe to Answer", "answers": flag, "img": named}


def rtvlm_image(name: str, number: int) -> str:
    if name.startswith("visual"):
        return f"flags/Land{number}.jpg"
    return f"p{number}.jpg" if name in ("face", "celeb", "politics", "racial") else f"{number}.jpg"


def write_rtvlm(root: Path) -> None:
    for name, task in SUBTASKS.items():
        write_json(root / "data" / task.table, [rtvlm_row(name, number) for number in range(5)])
        images = {rtvlm_image(name, number): encoded(number, "JPEG") for number in range(5)}
        if name.startswith("visual"):
            images["flags/OtherLand.jpg"] = encoded(9, "JPEG")
        write_zip(root / "data" / task.archive, images)


WRITERS: dict[str, Callable[[Path], None]] = {
    "psa": write_psa,
    "vlguard": write_vlguard,
    "spa-vl": write_spa_vl,
    "beavertails-v": write_beavertails_v,
    "llavaguard": write_llavaguard,
    "safeatlas-vl": write_safeatlas_vl,
    "meerkat-safe": write_meerkat_safe,
    "rtvlm": write_rtvlm,
    "llava-instruct": write_llava_instruct,
}
