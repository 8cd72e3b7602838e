"""Figures of several machines and versions are not told as those of one."""

from recipes.study.run_settings import gather_settings, name_machines


NEW, OLD = ({"machine": "x86_64", "versions": {"torch": version}} for version in ("2.13.0", "2.6.0"))


def test_each_setting_is_named_once_with_its_runs():
    runs = [{"setting": OLD}, {"setting": NEW}, {"setting": dict(reversed(NEW.items()))}]
    assert gather_settings(runs) == [{"runs": 2, "setting": NEW}, {"runs": 1, "setting": OLD}]


def test_what_was_not_written_down_is_not_made_up():
    assert gather_settings([{"cell": "ours"}]) == [{"runs": 1, "setting": None}]


def test_machines_are_named_once_whatever_ran_on_them():
    assert name_machines(gather_settings([{"setting": OLD}, {"setting": NEW}])) == "x86_64"


def test_of_several_machines_each_has_its_share():
    words = name_machines(gather_settings([{"setting": OLD}, {"setting": NEW}, {}]))
    assert words == "x86_64 (2 runs); a machine that was not written down (1 runs)"
