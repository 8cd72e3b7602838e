"""The same question in another language, where the risk stays and words that a model learned to refuse are gone."""

from collections.abc import Mapping
from dataclasses import replace

from .attack import Attack, change_rows
from .attack_row import AttackRow


SUITE = "text"


def other_language_attacks(translations: Mapping[str, Mapping[str, str]]) -> list[Attack]:
    """
    An attack for each language that a world's questions are known in.

    Args:
        translations (`Mapping[str, Mapping[str, str]]`): see [`~safe_llava.world.World`].
    """
    languages = list(dict.fromkeys(language for known in translations.values() for language in known))
    return [_ask_in(language, translations) for language in languages]


def _ask_in(language: str, translations: Mapping[str, Mapping[str, str]]) -> Attack:
    def change(row: AttackRow) -> AttackRow:
        question = translations[row.question][language]
        return replace(row, messages=(*row.messages[:-1], {"role": "user", "content": question}))

    def applies(row: AttackRow) -> bool:
        return language in translations.get(row.question, {})

    return change_rows(language, SUITE, f"the question in {language.capitalize()}", change, applies)
