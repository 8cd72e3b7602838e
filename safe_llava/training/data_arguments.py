"""The fields of a recipe that say what it trains on."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from .recipe_fields import MINIATURE


@dataclass(kw_only=True)
class DataArguments:
    """What a stage trains on; beside it a recipe has its stage, trl's `SFTConfig` and its `ModelConfig`."""

    dataset_name: str | None = field(
        default=None,
        metadata={
            "help": "JSON, csv, parquet, arrow or tar files with the authors' labels, a folder, a dataset on the Hub, "
            f"a public set (`safe-llava data show` lists them), or '{MINIATURE}' for synthetic scenes."
        },
    )
    datasets: list | str | None = field(
        default=None,
        metadata={"help": "Several sets in place of `dataset_name`: a list of `name`, `share` and others."},
    )
    duplicates: Literal["drop", "keep"] = field(
        default="drop",
        metadata={"help": "Of rows of `datasets` that show and ask the same, train on the first, or on all."},
    )
    benchmarks: dict | str | None = field(
        default=None,
        metadata={"help": "Where benchmarks lie, by their names: no row that stands in one is trained on."},
    )
    dataset_root: str | None = field(
        default=None, metadata={"help": "Your copy of the public set, or a Hub id. Default: its own."}
    )
    label_map: str | None = field(
        default=None, metadata={"help": "YAML in place of the public set's own, as `safe-llava data show` prints it."}
    )
    dataset_config: str | None = field(
        default=None,
        metadata={"help": f"Configuration of a Hub dataset; for '{MINIATURE}' the mix, by default that of the stage."},
    )
    dataset_train_split: str = field(default="train", metadata={"help": "Split to train on."})
    eval_dataset_name: str | None = field(
        default=None, metadata={"help": "Source of evaluation rows, of the same kinds as `dataset_name`."}
    )
    image_folder: str | None = field(
        default=None, metadata={"help": "Folder that image names start from. Default: that of each source."}
    )
    on_bad_rows: Literal["raise", "skip"] = field(default="raise", metadata={"help": "Refuse bad rows, or skip them."})
    unlabelled: Literal["raise", "clean", "ignore"] = field(
        default="raise",
        metadata={
            "help": "What the rows of `dataset_name` are if none has a label: 'clean', on your word, or nothing that "
            "the safety head learns from ('ignore')."
        },
    )
    check_images: bool = field(default=True, metadata={"help": "Decode every image before training starts."})
    clean_to_risky: float | None = field(
        default=None, metadata={"help": "Clean rows for each risky row. Default: as the data comes."}
    )
    balance_by: Literal["safety_level", "safety_type"] | None = field(
        default=None, metadata={"help": "Repeat rows until the risky classes of this column are equally many."}
    )
    max_train_samples: int | None = field(
        default=None, metadata={"help": f"Train on the first so many rows; '{MINIATURE}' draws so many."}
    )

    def __post_init__(self) -> None:
        # YAML values reach argparse as defaults, of which it does not check the choices.
        for name, choices in (
            ("duplicates", ("drop", "keep")),
            ("on_bad_rows", ("raise", "skip")),
            ("unlabelled", ("raise", "clean", "ignore")),
            ("balance_by", (None, "safety_level", "safety_type")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"`{name}` must be one of {choices}, not {getattr(self, name)!r}.")
        self.datasets = _read_json("datasets", self.datasets)
        self.benchmarks = _read_json("benchmarks", self.benchmarks)
        if (self.dataset_name is None) == (self.datasets is None):
            raise ValueError("Give either `dataset_name`, one set to train on, or `datasets`, several.")


def _read_json(name: str, value: Any) -> Any:
    """What stands in YAML as it is, and on the command line as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"`{name}` is not valid JSON: {value!r:.80}.") from error
