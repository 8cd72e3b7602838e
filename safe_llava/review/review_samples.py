"""What is to be rated: a question, images, and what each system answered."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ..models.image_reading import UnreadableImageError, read_image
from ..models.safety_labels import SAFETY_TYPES
from .json_lines import choice_problem, parse_record, refuse, text_problem, unknown_fields


_FIELDS = ("id", "question", "image", "images", "outputs", "risk_type")


@dataclass(frozen=True)
class ReviewSample:
    """
    A question with the outputs that are to be compared.

    Args:
        id (`str`): name of the sample, unique in its file.
        question (`str`): what was asked.
        outputs (`dict[str, str]`): what each system answered; at least two systems.
        images (`tuple[Path, ...]`, *optional*): the images that were asked about.
        risk_type (`str`, *optional*): one of `SAFETY_TYPES`, where it is known. Raters do not see it.
    """

    id: str
    question: str
    outputs: dict[str, str]
    images: tuple[Path, ...] = ()
    risk_type: str | None = None

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of question and outputs, to notice that a rating was given for other texts."""
        content = json.dumps([self.question, self.outputs], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def order_for(self, rater: str) -> tuple[str, ...]:
        """
        The systems in the order in which their outputs stand before a rater.

        It depends on the rater, the sample and the systems' names alone, so that a review which goes on after a break
        shows the same, and no system stands on the left more often than chance has it.

        Args:
            rater (`str`): name of the rater.

        Returns:
            `tuple[str, ...]`: the systems from left to right.
        """

        def place(system: str) -> str:
            return hashlib.sha256(json.dumps([rater, self.id, system]).encode()).hexdigest()

        return tuple(sorted(self.outputs, key=place))


def load_samples(path: str | PathLike, image_folder: str | PathLike | None = None) -> list[ReviewSample]:
    """
    Reads and checks samples, one JSON object a line.

    ```json
    {"id": "7", "question": "Who is this?", "image": "7.png", "outputs": {"base": "It is ...", "ours": "I cannot ..."}}
    ```

    `images` with a list takes the place of `image` where there are several. Both may be left out. `risk_type` is
    optional. Every image is decoded once.

    Args:
        path (`str` or `PathLike`): the file.
        image_folder (`str` or `PathLike`, *optional*): folder that image names start from. Defaults to the folder
            of the file.

    Returns:
        `list[ReviewSample]`: the samples in the order of the file.

    Raises:
        ValueError: if a line is not as it should be, an id stands there twice, an image is missing or cannot be read,
            or there is no sample. All bad lines are listed, with line number and field.
    """
    path = Path(path)
    folder = path.parent if image_folder is None else Path(image_folder)
    samples: dict[int, ReviewSample] = {}
    problems: dict[int, list[str]] = {}
    line_of_id: dict[str, int] = {}
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            record = parse_record(line)
        except ValueError as error:
            problems[number] = [str(error)]
            continue
        problems[number] = _problems(record)
        if problems[number]:
            continue
        sample = _sample(record, folder)
        if sample.id in line_of_id:
            problems[number].append(f"'id' {sample.id!r} stands in line {line_of_id[sample.id]} too")
        line_of_id.setdefault(sample.id, number)
        samples[number] = sample
    with ThreadPoolExecutor() as pool:
        for number, found in zip(samples, pool.map(_image_problems, samples.values()), strict=True):
            problems[number] += found
    refuse(path, problems)
    if not samples:
        raise ValueError(f"{path} has no sample. It should have one JSON object a line, with {', '.join(_FIELDS)}.")
    return list(samples.values())


def _problems(record: dict[str, Any]) -> list[str]:
    problems = [
        *unknown_fields(record, _FIELDS),
        *text_problem(record, "id"),
        *text_problem(record, "question"),
        *choice_problem(record, "risk_type", SAFETY_TYPES),
    ]
    if record.get("image") is not None and record.get("images") is not None:
        problems.append("there is both 'image' and 'images'; give one of them")
    if record.get("image") is not None and not _is_name(record["image"]):
        problems.append(f"'image' must be a file name, not {record['image']!r}")
    names = record.get("images")
    if names is not None and not (isinstance(names, list) and all(map(_is_name, names))):
        problems.append(f"'images' must be a list of file names, not {names!r}")
    outputs = record.get("outputs")
    if "outputs" not in record:
        problems.append("'outputs' is missing")
    elif not isinstance(outputs, dict) or len(outputs) < 2:
        problems.append(f"'outputs' must name at least two systems with their texts, not {outputs!r}")
    else:
        problems += [
            f"'outputs' of {system!r} must be a text, not {output!r}"
            for system, output in outputs.items()
            if not isinstance(output, str)
        ]
        problems += ["'outputs' has a system without a name" for system in outputs if not system.strip()]
    return problems


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _sample(record: dict[str, Any], folder: Path) -> ReviewSample:
    names = [record["image"]] if record.get("image") is not None else record.get("images") or []
    return ReviewSample(
        id=record["id"],
        question=record["question"],
        outputs=record["outputs"],
        images=tuple(folder / name for name in names),
        risk_type=record.get("risk_type"),
    )


def _image_problems(sample: ReviewSample) -> list[str]:
    problems = []
    for path in sample.images:
        try:
            read_image(path)
        except UnreadableImageError as error:
            problems.append(f"'{'images' if len(sample.images) > 1 else 'image'}': {error}")
    return problems
