"""
Writes synthetic scenes in the layouts of published sets, so that the miniature goes the large models' way offline:

    python -m recipes.reproduce.miniature_sets sets

- `stage1`, `stage2`, `validation`: `psa/train.json`, a JSON list in the authors' format (turns of USER and ASSISTANT,
  with `safe_level` and `safe_type`), and for the stages `llava-instruct/llava_v1_5_mix665k.json`, one as that set is
  published (turns of human and gpt, no labels, rows without an image among them), both with their images;
- `vlguard`: `test.json` and `test/`, as VLGuard publishes its test part.

Nothing of the published sets is in them: abstract pictograms stand in for risky content.
"""

import json
import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from safe_llava.miniature.alignment_benchmark import draw_pair_square
from safe_llava.miniature.conversations import Conversation, ConversationSampler, sample_conversations
from safe_llava.miniature.drawing import draw_scene
from safe_llava.miniature.questions import ask_about_shapes
from safe_llava.miniature.scenes import Scene


PSA = "psa/train.json"
INSTRUCT = "llava-instruct/llava_v1_5_mix665k.json"
CLEAN_KINDS = ("harmless", "text_only")
"""What goes into the set of clean rows; all else has labels."""
NOTE = "Synthetic scenes with abstract pictograms, drawn by safe_llava.miniature. Not a row of the published set.\n"


def main(
    output: Annotated[Path, typer.Argument(help="Folder to write; what it holds is written anew.")],
    stage1_rows: Annotated[int, typer.Option(min=1, help="Rows of both sets of stage 1.")] = 1200,
    stage2_rows: Annotated[int, typer.Option(min=1, help="Rows of both sets of stage 2.")] = 700,
    validation_rows: Annotated[int, typer.Option(min=1, help="Rows to calibrate on.")] = 300,
    test_rows: Annotated[int, typer.Option(min=1, help="Images of each part of VLGuard's layout.")] = 25,
    seed: Annotated[int, typer.Option(help="Of the scenes.")] = 0,
) -> None:
    """Write the stand-ins of PSA, LLaVA-Instruct and VLGuard."""
    shutil.rmtree(output, ignore_errors=True)
    for number, (stage, size) in enumerate((("stage1", stage1_rows), ("stage2", stage2_rows))):
        rows = sample_conversations("train", size, 2 * seed + number, stage)
        clean_rows = [row for row in rows if row.kind in CLEAN_KINDS]
        _write_rows(output / stage / PSA, [row for row in rows if row.kind not in CLEAN_KINDS], _in_psa_form)
        _write_rows(output / stage / INSTRUCT, clean_rows, _in_instruct_form)
    rows = sample_conversations("validation", validation_rows, seed, "evaluation")
    _write_rows(output / "validation" / PSA, rows, _in_psa_form)
    _write_vlguard(output / "vlguard", test_rows, random.Random(f"vlguard/{seed}"))


def _in_psa_form(row: Conversation, images: list[str]) -> dict[str, Any]:
    labels = {"safe_level": row.safety_level, "safe_type": row.safety_type}
    return {**labels, "image": "<split>".join(images), "conversations": _turns(row, "USER", "ASSISTANT")}


def _in_instruct_form(row: Conversation, images: list[str]) -> dict[str, Any]:
    named = {"image": "<split>".join(images)} if images else {}
    return {**named, "conversations": _turns(row, "human", "gpt")}


def _turns(row: Conversation, user: str, assistant: str) -> list[dict[str, str]]:
    speakers = {"user": user, "assistant": assistant}
    turns = [{"from": speakers[turn["role"]], "value": turn["content"]} for turn in row.messages]
    turns[0]["value"] = "<image>\n" * len(row.scenes) + turns[0]["value"]
    return turns


def _write_rows(table: Path, rows: list[Conversation], in_form: Callable[..., dict[str, Any]]) -> None:
    records = []
    for number, row in enumerate(rows):
        names = [f"images/{number:05}-{place}.png" for place in range(len(row.scenes))]
        _write_images(table.parent, zip(names, row.scenes))
        records.append({"id": f"{number:05}", **in_form(row, names)})
    _write_list(table, records)


def _write_vlguard(folder: Path, size: int, rng: random.Random) -> None:
    """Unsafe images, and harmless ones with a question that is safe and one that is not."""
    sampler = ConversationSampler("test", "evaluation", rng)
    records = []
    for number in range(size):
        row = sampler.draw("risky")
        record = {"id": str(number), "image": f"bad/{number}.png", "safe": False, "harmful_category": "risky behavior"}
        answer = {"instruction": row.question.text, "response": row.target}
        records.append({**record, "harmful_subcategory": "synthetic", "instr-resp": [answer]})
        _write_images(folder, [(f"test/{record['image']}", row.scenes[0])])
    while len(records) < 2 * size:
        row = draw_pair_square(sampler)[0]
        scene, number = row.scenes[0], len(records)
        questions = {"safe_instruction": ask_about_shapes(scene, rng).text, "unsafe_instruction": row.question.text}
        pairs = [{name: text, "response": ""} for name, text in questions.items()]
        image = f"good/{number}.png"
        records.append({"id": str(number), "image": image, "safe": True, "instr-resp": pairs})
        _write_images(folder, [(f"test/{image}", scene)])
    _write_list(folder / "test.json", records)


def _write_images(folder: Path, named: Iterable[tuple[str, Scene]]) -> None:
    for name, scene in named:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_scene(scene).save(path, compress_level=1)


def _write_list(table: Path, records: list[dict[str, Any]]) -> None:
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(json.dumps(records, indent=1), encoding="utf-8")
    (table.parent / "SYNTHETIC.txt").write_text(NOTE, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
