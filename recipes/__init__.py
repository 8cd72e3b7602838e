"""Training recipes, the benchmark of what safety costs, the alignment study and the trial of the audit."""
