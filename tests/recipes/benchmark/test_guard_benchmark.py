"""What the guard saves against a generative guard of the same base, in counts that no clock can change."""

import json

from recipes.benchmark import guard


def test_a_guard_takes_less_than_a_fifth_of_the_flops_at_the_mid_shape(tmp_path):
    guard.main(tmp_path / "guard.json", "mid", count_only=True)
    flops = json.loads((tmp_path / "guard.json").read_text())["flops_per_image"]
    assert 0 < 5 * flops["guard"] < flops["generative"]
