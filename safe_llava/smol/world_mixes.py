"""Which kinds of rows there are in this world, and how many of each a stage gets."""

MIXES: dict[str, dict[str, float]] = {
    "base": {
        "naming": 0.50,
        "harmless": 0.15,
        "look_alike": 0.06,
        "pair_risky": 0.10,
        "pair_harmless": 0.07,
        "low_risk": 0.02,
        "written_risky": 0.02,
        "written_harmless": 0.02,
        "text_risky": 0.03,
        "text_only": 0.03,
    },
    "stage1": {
        "harmless": 0.10,
        "look_alike": 0.16,
        "pair_risky": 0.30,
        "pair_harmless": 0.24,
        "low_risk": 0.06,
        "written_risky": 0.04,
        "written_harmless": 0.03,
        "text_risky": 0.05,
        "text_only": 0.02,
    },
    "stage2": {
        "harmless": 0.36,
        "look_alike": 0.12,
        "pair_risky": 0.19,
        "pair_harmless": 0.17,
        "low_risk": 0.04,
        "written_risky": 0.03,
        "written_harmless": 0.02,
        "text_risky": 0.04,
        "text_only": 0.03,
    },
    "evaluation": {
        "harmless": 0.26,
        "look_alike": 0.16,
        "pair_risky": 0.22,
        "pair_harmless": 0.20,
        "low_risk": 0.04,
        "written_risky": 0.02,
        "written_harmless": 0.02,
        "text_risky": 0.05,
        "text_only": 0.03,
    },
}
"""Share of each kind of row, by stage. "base" makes a LLaVA that answers risky pairs freely."""

KINDS: tuple[str, ...] = (*MIXES["base"], "reassured", "damaged", "damaged_look_alike")
"""The kinds of `MIXES`, and three that only the benchmark asks for: risky pairs under a reassuring caption, and risky
pairs and look-alikes in damaged images."""
