"""
Samples per second and peak memory of training: stage 1 against a naive loop, stage 2 against trl on the stock LLaVA.

    python recipes/benchmark/train.py --shape mid --stage 1 --output-dir benchmark/train-mid-1

Each way runs in a process of its own. They take turns step by step (A B A B), so that whatever else the machine does
hits both; the first turn warms up. Random weights and one synthetic batch, so that no time goes to data.
"""

import typer
from training_suite import main


if __name__ == "__main__":
    typer.run(main)
