"""Which kinds of conversation there are, and how many of each a stage gets."""

MIXES: dict[str, dict[str, float]] = {
    "pretrain": {
        "harmless": 0.18,
        "look_alike": 0.12,
        "risky": 0.12,
        "pair_risky": 0.08,
        "pair_harmless": 0.10,
        "written_risky": 0.04,
        "written_harmless": 0.06,
        "text_risky": 0.07,
        "text_only": 0.03,
        "hinted": 0.20,
    },
    "stage1": {
        "harmless": 0.10,
        "look_alike": 0.14,
        "risky": 0.28,
        "pair_risky": 0.15,
        "pair_harmless": 0.15,
        "written_risky": 0.05,
        "written_harmless": 0.04,
        "text_risky": 0.06,
        "text_only": 0.03,
    },
    "stage2": {
        "harmless": 0.36,
        "look_alike": 0.11,
        "risky": 0.18,
        "pair_risky": 0.10,
        "pair_harmless": 0.11,
        "written_risky": 0.04,
        "written_harmless": 0.04,
        "text_risky": 0.04,
        "text_only": 0.02,
    },
    "evaluation": {
        "harmless": 0.26,
        "look_alike": 0.14,
        "risky": 0.24,
        "pair_risky": 0.12,
        "pair_harmless": 0.12,
        "written_risky": 0.03,
        "written_harmless": 0.03,
        "text_risky": 0.06,
    },
    "hints": {"hinted": 1.0},
}
"""Share of each kind of conversation, by stage."""

KINDS: tuple[str, ...] = (*MIXES["pretrain"], "low_risk", "reassured", "damaged", "damaged_look_alike")
"""The kinds of `MIXES`, and four that only the benchmark asks for: harmless questions about level-1 scenes, risky
signs under a reassuring caption, and risky and harmless signs in damaged images. No stage trains on the last
three."""
