from recipes.miniature.hidden_levels import hide_levels
from safe_llava.miniature.scene_dataset import build_dataset


def test_of_the_hidden_share_of_risky_rows_only_some_risk_is_known_and_nothing_else_changes():
    known = build_dataset("train", 60, stage="stage1")
    hidden = hide_levels(known, 0.8, seed=0)
    risky = [row for row in range(60) if known["safety_level"][row] > 0]
    sets = [row for row in range(60) if hidden["possible_levels"][row]]
    assert len(sets) == round(0.8 * len(risky))
    assert set(sets) <= set(risky)
    assert all(hidden["possible_levels"][row] == [1, 2, 3] for row in sets)
    assert [hidden["safety_level"][row] for row in range(60)] == [
        -100 if row in sets else known["safety_level"][row] for row in range(60)
    ]
    assert hidden["safety_type"][:] == known["safety_type"][:]
