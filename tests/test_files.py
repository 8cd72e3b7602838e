"""Kept results belong to one set of settings."""

import pytest

from safe_llava.files import check_settings


def test_settings_that_changed_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"other settings: seed, judge changed\. Take another output folder"):
        check_settings(tmp_path, {"seed": 0, "judge": "a", "limit": 3}, {"seed": 1, "judge": "b", "limit": 3})


def test_a_setting_that_json_spells_otherwise_is_the_same(tmp_path):
    check_settings(tmp_path, {"types": ["privacy"]}, {"types": ("privacy",)})
