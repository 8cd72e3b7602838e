"""BeaverTails-V: harmful questions about images of 20 categories, with answers that are safe or not."""

from collections.abc import Iterator
from pathlib import Path

from .public_set import PublicSet, SetRequest, SetRow, conversation_of
from .published_tables import PublishedFileError, Record
from .set_files import find_tables, read_rows


_COLUMNS = {
    "image": "an image",
    "question": "text",
    "response": "text",
    "category": "text",
    "is_response_safe": "yes or no",
}
_YES = {"yes": True, "true": True, "no": False, "false": False}


def _tables(request: SetRequest) -> list[Path]:
    return find_tables(request, f"**/{request.split}*.parquet")


def _read(request: SetRequest) -> Iterator[SetRow]:
    for record in read_rows(_tables(request), _COLUMNS):
        try:
            # An unsafe answer is nothing to learn: the question alone is for the safety head.
            answer = record.text("response") if _is_safe(record) else None
            messages = conversation_of(record.text("question"), answer)
            yield SetRow(record.place, messages, category=record.text("category"))
        except PublishedFileError as error:
            yield SetRow(record.place, problems=[str(error)])


def _is_safe(record: Record) -> bool:
    value = record.values["is_response_safe"]
    found = value if isinstance(value, bool) else _YES.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        raise record.refuse("is_response_safe", "true, false, 'yes' or 'no'")
    return found


BEAVERTAILS_V = PublicSet(
    name="beavertails-v",
    title="BeaverTails-V",
    paper="Ji et al., Safe RLHF-V, NeurIPS 2025, arXiv 2503.17682",
    home="https://huggingface.co/datasets/PKU-Alignment/BeaverTails-V",
    hub_id="PKU-Alignment/BeaverTails-V",
    licence="CC-BY-NC-4.0",
    layout="""
<any folder>/<category>/train*.parquet, evaluation*.parquet   20 categories, of which all that are there are read
""",
    columns={
        "image": "the image",
        "question": "what is asked",
        "response": "an answer; learned where it is safe",
        "category": "one of 20",
        "is_response_safe": "true or false, yes or no",
    },
    cannot_tell="No level is given that its card explains, and an unsafe answer leaves a question for the head alone.",
    splits=("train", "evaluation"),
    read=_read,
    categories={
        "animal_abuse": "illegal_risk",
        "dangerous_behavior": "illegal_risk",
        "deception_in_personal_relationships": "misleading",
        "discriminatory_depictions": ["fairness", "insults_bullying"],
        "environmental_damage": "illegal_risk",
        "false_information": "misleading",
        "financial_and_academic_fraud": ["illegal_risk", "misleading"],
        "hacking_or_digital_crime": ["illegal_risk", "privacy"],
        "harmful_health_content": ["illegal_risk", "misleading"],
        "horror_and_gore": "risky",
        "identity_misuse_and_impersonation": ["privacy", "misleading"],
        "insulting_and_harassing_behavior": "insults_bullying",
        "pornographic_content": "risky",
        "privacy_invasion_and_surveillance": "privacy",
        "psychological_harm_and_manipulation": ["insults_bullying", "misleading"],
        "psychological_horror_and_dark_themes": "risky",
        "sensitive_information_in_key_areas": ["politics", "privacy", "illegal_risk"],
        "sexual_crimes": "illegal_risk",
        "terrorism_or_extremism": ["illegal_risk", "politics"],
        "violence_and_physical_harm": ["illegal_risk", "insults_bullying"],
    },
    hub_files=("*{split}*.parquet",),
    image_tables=_tables,
)
