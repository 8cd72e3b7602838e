import json

import pytest
import typer

from recipes.smol.gates import GATE_FILE, GATE_MISSED, close_gate, share
from recipes.smol.tower_gate import find_missed


def test_a_missed_gate_is_written_and_ends_with_its_own_code(tmp_path, capsys):
    with pytest.raises(typer.Exit) as ended:
        close_gate(tmp_path, {"right": share([True, False])}, ["too few are right."])
    assert ended.value.exit_code == GATE_MISSED and "too few are right." in capsys.readouterr().err
    assert json.loads((tmp_path / GATE_FILE).read_text())["missed"] == ["too few are right."]


def test_a_gate_that_is_reached_leaves_no_checkpoints(tmp_path):
    (tmp_path / "checkpoint-20").mkdir()
    close_gate(tmp_path, {}, [])
    assert [path.name for path in tmp_path.iterdir()] == [GATE_FILE]


@pytest.mark.parametrize("value, missed", [(0.44, 1), (0.46, 0)])
def test_the_tower_must_gain_ten_points_on_every_maker(value, missed):
    assert len(find_missed({"openmoji": {"value": value}}, {"openmoji": {"value": 0.35}})) == missed
