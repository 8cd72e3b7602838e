"""Small benchmarks in the columns of the published ones, and the task files by which lmms-eval reads them."""

from collections.abc import Callable
from pathlib import Path

from datasets import Dataset, Features, Image, List, Value
from PIL.Image import Image as PILImage


TASKS = ("mme_local", "mmbench_en_dev_static_local", "seedbench_local", "pope_local")


def write_tasks(folder: Path, make_image: Callable[..., PILImage]) -> None:
    """Write the four benchmarks and a task `<name>_local` for each, which includes the library's own task file."""
    tasks = Path(_lmms_eval_folder()) / "tasks"
    files = {
        "mme": (tasks / "mme/mme.yaml", "test", mme(make_image)),
        "mmbench_en_dev_static": (tasks / "mmbench/mmbench_en_dev_static.yaml", "dev", mmbench(make_image)),
        "seedbench": (tasks / "seedbench/seedbench.yaml", "test", seedbench(make_image)),
        "pope": (tasks / "pope/pope.yaml", "test", pope(make_image)),
    }
    for name, (task_file, split, rows) in files.items():
        rows.to_parquet(folder / f"{name}.parquet")
        (folder / f"{name}_local.yaml").write_text(
            f"include: {task_file}\n"
            f"task: {name}_local\n"
            "dataset_path: parquet\n"
            "dataset_name: null\n"
            f"dataset_kwargs: {{data_files: {{{split}: {name}.parquet}}}}\n"
        )


def mme(make_image: Callable[..., PILImage]) -> Dataset:
    """Two categories of each kind, two questions on each of two images, one to be answered with Yes, one with No."""
    rows = [
        {
            "question_id": f"{category}/{number}.png",
            "image": make_image(number),
            "question": f"Is this a {thing}? Please answer yes or no.",
            "answer": answer,
            "category": category,
        }
        for category in ("existence", "posters", "code_reasoning", "text_translation")
        for number in range(2)
        for thing, answer in (("circle", "Yes"), ("square", "No"))
    ]
    return Dataset.from_list(rows, features=_features(rows[0], image=Image()))


def mmbench(make_image: Callable[..., PILImage]) -> Dataset:
    """Two questions, each asked again with its options turned round, as the circular evaluation wants it."""
    rows = [
        {
            "index": number + turn * 1_000_000,
            "question": "What is in the image?",
            "hint": "nan",
            "answer": "AB"[turn],
            "A": ("a circle", "a square")[turn],
            "B": ("a square", "a circle")[turn],
            "C": "a house" if number else "nan",
            "D": "nan",
            "category": "object_localization",
            "image": make_image(number),
            "source": "synthetic",
            "L2-category": "finegrained_perception (instance-level)",
            "comment": "nan",
            "split": "dev",
        }
        for number in range(2)
        for turn in range(2)
    ]
    return Dataset.from_list(rows, features=_features(rows[0], image=Image()))


def seedbench(make_image: Callable[..., PILImage]) -> Dataset:
    """Two questions on one image and one on the three frames of a video."""
    rows = [
        {
            "answer": "A",
            "choice_a": "One",
            "choice_b": "Two",
            "choice_c": "Three",
            "choice_d": "Four",
            "data_id": f"{number}",
            "data_type": data_type,
            "question": "How many circles are there?",
            "question_id": f"{number}",
            "question_type_id": 5,
            "image": [make_image(number + frame) for frame in range(3 if data_type == "video" else 1)],
            "segment": [],
        }
        for number, data_type in enumerate(("image", "image", "video"))
    ]
    return Dataset.from_list(rows, features=_features(rows[0], image=List(Image()), segment=List(Value("int64"))))


def pope(make_image: Callable[..., PILImage]) -> Dataset:
    """Six questions on two images, half of them to be answered with yes."""
    rows = [
        {
            "id": f"{number}",
            "question_id": f"{number}",
            "question": "Is there a circle in the image?",
            "answer": ("yes", "no")[number % 2],
            "image_source": f"image_{number // 3}",
            "image": make_image(number // 3),
            "category": "adversarial",
        }
        for number in range(6)
    ]
    return Dataset.from_list(rows, features=_features(rows[0], image=Image()))


def _features(row: dict, **others) -> Features:
    kinds = {int: "int64", str: "string"}
    return Features({name: others.get(name) or Value(kinds[type(value)]) for name, value in row.items()})


def _lmms_eval_folder() -> str:
    import lmms_eval

    return lmms_eval.__path__[0]
