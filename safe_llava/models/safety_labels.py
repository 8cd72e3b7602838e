"""The risk levels and risk types that every part of the package speaks of.

Order and names follow the data format of "Safety Alignment for Vision Language Models" (arXiv 2405.13581, section
3.1). The position of a name is its class index in logits, checkpoints and the columns `safety_level`, `safety_type`.
"""

SAFETY_LEVELS: tuple[str, ...] = ("none", "low", "medium", "high")
SAFETY_TYPES: tuple[str, ...] = (
    "politics",
    "illegal_risk",
    "insults_bullying",
    "fairness",
    "privacy",
    "misleading",
    "safe",
)

RISK_LEVELS: tuple[str, ...] = SAFETY_LEVELS[1:]
RISK_TYPES: tuple[str, ...] = SAFETY_TYPES[:-1]
SAFE_TYPE_ID: int = SAFETY_TYPES.index("safe")
FLAT = 1e-3
"""Logits that are all closer together than this decide nothing."""
DISTRUST: dict[str, str] = {
    "model": "the model is not the one that a finished training left",
    "undecided": "the head's scores decide nothing",
    "unfamiliar": "the image, with its question, is unlike those that the model was calibrated on",
}
"""Why a verdict is not trusted, in a word and in words."""


def name_distrust(trusted: bool, decided: bool, unfamiliar: bool) -> str | None:
    """Which of [`DISTRUST`] a verdict has that is not trusted: of several the one that no policy may overlook."""
    if trusted:
        return None
    return "undecided" if not decided else "unfamiliar" if unfamiliar else "model"
