"""Questions of a world in other languages, one wording for each topic, read from its `translations.yaml`."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import yaml


def read_translations(
    path: Path, wordings: Mapping[str, Sequence[str]], slots: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, str]]:
    """
    What every question of a world is in other languages.

    Args:
        path (`Path`):
            A YAML file: by language `topics`, one wording for each, and `words`, what may stand in their slots.
        wordings (`Mapping[str, Sequence[str]]`): by topic all its wordings in English, in which `{name}` is a slot.
        slots (`Mapping[str, Sequence[str]]`): by name all that may stand in a slot.

    Returns:
        `dict[str, dict[str, str]]`: by question its translations, by language.

    Raises:
        ValueError: if a language lacks a topic.
    """
    languages = yaml.safe_load(path.read_text(encoding="utf-8"))
    for language, table in languages.items():
        if missing := [topic for topic in wordings if topic not in table["topics"]]:
            raise ValueError(f"{path.name} has no {language} wording of {', '.join(missing)}. Write one for each.")
    translated: dict[str, dict[str, str]] = {}
    for topic, known in wordings.items():
        for wording in known:
            used = [name for name in slots if f"{{{name}}}" in wording]
            for words in product(*(slots[name] for name in used)):
                translated[wording.format(**dict(zip(used, words)))] = {
                    language: table["topics"][topic].format(
                        **{name: table.get("words", {}).get(word, word) for name, word in zip(used, words)}
                    )
                    for language, table in languages.items()
                }
    return translated
