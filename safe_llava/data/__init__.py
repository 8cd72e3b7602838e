"""Safety data: reading, checking and mixing of images, conversations and risk labels."""

from .answered_rows import keep_answered
from .dataset_check import DatasetCheck, check_dataset
from .dataset_loading import load_safety_dataset
from .dataset_report import BadRow, DatasetReport, InvalidDatasetError
from .hints import add_hints
from .label_parsing import UNLABELLED, parse_safety_level, parse_safety_type
from .mixing import mix_safety_dataset


__all__ = [
    "UNLABELLED",
    "BadRow",
    "DatasetCheck",
    "DatasetReport",
    "InvalidDatasetError",
    "add_hints",
    "check_dataset",
    "keep_answered",
    "load_safety_dataset",
    "mix_safety_dataset",
    "parse_safety_level",
    "parse_safety_type",
]
