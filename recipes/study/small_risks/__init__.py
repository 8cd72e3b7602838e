"""How small a risk may be in a large image: the base tile, all tiles, LLaVA-1.5's square, and crops of it."""
