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
