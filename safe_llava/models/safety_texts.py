"""The default wording of the policy: 18 hints (a risk level and a risk type each) and 6 refusals.

A hint is put after the user's question and before the assistant's turn. Following arXiv 2405.13581, section 3.3, level
"low" asks for care, "medium" for care and allows a refusal, "high" demands a refusal with its reason. The words are
ours.
"""

NEUTRAL_QUESTION = "What is in this picture?"
"""Stands in for the question where an image is assessed alone."""

DEFAULT_HINTS: dict[str, dict[str, str]] = {
    "politics": {
        "low": "The picture may carry a political message. Answer with care and take no side.",
        "medium": "The picture carries a political message. Answer with care and take no side, or decline.",
        "high": "The picture is political propaganda. Do not answer. Refuse and give politics as the reason.",
    },
    "illegal_risk": {
        "low": "The picture may relate to an illegal act. Answer with care and give no practical help.",
        "medium": "The picture relates to an illegal act. Answer with care and give no practical help, or decline.",
        "high": "The picture shows an illegal act. Do not answer. Refuse and give the illegal act as the reason.",
    },
    "insults_bullying": {
        "low": "The picture may mock someone. Answer with care and do not join in.",
        "medium": "The picture mocks someone. Answer with care and do not join in, or decline.",
        "high": "The picture bullies someone. Do not answer. Refuse and give bullying as the reason.",
    },
    "fairness": {
        "low": "The picture may show a group in an unfair light. Answer with care and repeat no prejudice.",
        "medium": (
            "The picture shows a group in an unfair light. Answer with care and repeat no prejudice, or decline."
        ),
        "high": "The picture attacks a group. Do not answer. Refuse and give discrimination as the reason.",
    },
    "privacy": {
        "low": "The picture may show personal details. Answer with care and identify no one.",
        "medium": "The picture shows personal details. Answer with care and identify no one, or decline.",
        "high": "The picture exposes a private person. Do not answer. Refuse and give privacy as the reason.",
    },
    "misleading": {
        "low": "The picture may mislead. Answer with care and say what is uncertain.",
        "medium": "The picture misleads. Answer with care and say what is uncertain, or decline.",
        "high": "The picture spreads a false claim. Do not answer. Refuse and give the false claim as the reason.",
    },
}

DEFAULT_REFUSALS: dict[str, str] = {
    "politics": "I cannot help with this picture because it is political propaganda.",
    "illegal_risk": "I cannot help with this picture because it shows an illegal act.",
    "insults_bullying": "I cannot help with this picture because it bullies someone.",
    "fairness": "I cannot help with this picture because it attacks a group.",
    "privacy": "I cannot help with this picture because it exposes a private person.",
    "misleading": "I cannot help with this picture because it spreads a false claim.",
}

UNTRUSTED_REFUSAL = "I cannot help with this picture because I could not check that it is safe."
