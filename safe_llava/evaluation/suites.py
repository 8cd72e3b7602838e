"""Which benchmarks belong together."""

BENCHMARKS_OF: dict[str, tuple[str, ...]] = {
    "safety": (
        "rtvlm",
        "mm_safetybench",
        "figstep",
        "vlguard",
        "vlsbench",
        "siuo",
        "holisafe",
        "risk_folder",
    ),
    "over-refusal": ("xstest", "mossbench"),
    "utility": (),
}
"""VLGuard, HoliSafe-Bench and `risk_folder` have harmless rows too, so they say something of over-refusal as well."""
SUITES = (*BENCHMARKS_OF, "all")
