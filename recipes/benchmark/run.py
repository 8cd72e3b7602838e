"""
What safety costs: SafeLLaVA against stock LLaVA on the same backbone, and against the other ways to be safe.

    python recipes/benchmark/run.py --shape mid --output-dir cost
"""

import typer
from suite import main


if __name__ == "__main__":
    typer.run(main)
