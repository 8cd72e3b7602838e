"""The miniature LLaVA: its pre-training, and the recipes of its two stages."""
