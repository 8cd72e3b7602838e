"""RTVLM: red teaming of faithfulness, privacy, safety and fairness.

Paper, home, files and sub-tasks: [`~safe_llava.data.sources.rtvlm_set`]. `refused_to_answer` says what a model should
do. "Refuse to Answer" and the two labels of caution make a row harmful, "Safe to Answer" does not; captchas have no
label and the script gives them caution. `answers`, where there are some, become the `reference`.

The authors name no test part, so a split here is ours: `seed0-test` is a fifth of the images of each sub-task, drawn
by hashing the seed and the image's name, `seed0-train` is the rest, and any other number is another draw. No image
is in both, but for sub-tasks with two images in a row, of which the first one decides. Nothing was measured here.
"""

import re
from pathlib import Path

from ...data.sources.label_map import single_risk_type
from ...data.sources.rtvlm_set import RTVLM, draw_images, image_names_of, open_rtvlm, questions_of
from .benchmark_row import BenchmarkRow


_SPLIT = re.compile(r"seed(\d+)-(train|test)")


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
    rows: list[BenchmarkRow] = []
    for name, records, image_files in open_rtvlm(path):
        risk_type = single_risk_type(RTVLM.categories[name])
        named_images = [image_names_of(record, name) for record in records]
        chosen = draw_images(name, [names[0] for names in named_images], int(named[1]), named[2]) if named else None
        for number, (record, names) in enumerate(zip(records, named_images)):
            images = tuple(image_files.find(record, image) for image in names)
            if chosen is not None and names[0] not in chosen:
                continue
            questions = questions_of(record, name)
            rows += [
                BenchmarkRow(
                    id=f"{name}/{number}" if len(questions) == 1 else f"{name}/{number}.{index}",
                    question=question.question,
                    images=images,
                    is_harmful=question.is_harmful,
                    subset=name,
                    risk_type=risk_type if question.is_harmful else None,
                    reference=question.reference,
                )
                for index, question in enumerate(questions)
            ]
        image_files.require_all()
    return rows
