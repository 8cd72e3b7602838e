"""The bars: levels in order, a line for each threshold in force."""

import re

from safe_llava import SafetyPolicy
from safe_llava.demo.verdict_bars import draw_bars
from safe_llava.models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES


VERDICT = {
    "level": "medium",
    "type": "privacy",
    "level_probs": dict(zip(SAFETY_LEVELS, (0.1, 0.2, 0.6, 0.1))),
    "type_probs": dict.fromkeys(SAFETY_TYPES, 0.0) | {"privacy": 0.7, "politics": 0.3},
}
POLICY = SafetyPolicy.from_dict(
    {"types": {"privacy": {"threshold": 0.25}, "politics": {"enabled": False}}, "actions": {"high": "refuse"}}
)


def test_levels_stand_in_order_with_what_the_policy_does_at_each():
    levels = draw_bars(VERDICT, POLICY).partition("Risk type")[0]
    assert re.findall(r'bar-name">(\w+)<', levels) == list(SAFETY_LEVELS)
    assert re.findall(r'note">(\w+)<', levels) == ["answer", "hint", "hint", "refuse"]
    assert re.findall(r"width:([\d.]+)%", levels) == ["10.00", "20.00", "60.00", "10.00"]


def test_each_type_that_is_on_has_its_threshold_as_a_line():
    types = draw_bars(VERDICT, POLICY).partition("Risk type")[2]
    lines = dict(re.findall(r'aria-label="([\w ]+?) [\d.]+%(?:, threshold ([\d.]+%))?"', types))
    assert lines == {
        "politics": "",
        "illegal risk": "50.0%",
        "insults and bullying": "50.0%",
        "fairness": "50.0%",
        "privacy": "25.0%",
        "misleading": "50.0%",
        "no risk": "",
    }
    assert re.findall(r"left:([\d.]+)%", types) == ["50.00", "50.00", "50.00", "25.00", "50.00"]
    assert re.findall(r'bar (\w+) chosen"', types) == ["over"]
