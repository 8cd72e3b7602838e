"""The alignment study: what each part of the method is worth, against every simpler way. Synthetic scenes."""
