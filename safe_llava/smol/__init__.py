"""A world of drawings by others, where most risk is in the pair of image and question."""
