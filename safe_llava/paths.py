"""Folders that travel with the package: inside it when it comes from a wheel, beside it in a checkout."""

from pathlib import Path


_PACKAGE = Path(__file__).parent
_ROOT = _PACKAGE if (_PACKAGE / "recipes").is_dir() else _PACKAGE.parent

RECIPES: Path = _ROOT / "recipes"
MODEL_CARDS: Path = _ROOT / "model_cards"
