"""The risk types in the words of a page."""

from ..models.safety_labels import SAFETY_TYPES


RISK_WORDS = {name: name.replace("_", " ") for name in SAFETY_TYPES} | {
    "insults_bullying": "insults and bullying",
    "safe": "no risk",
}
