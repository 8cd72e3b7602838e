"""A page to show what a model finds in images and what its policy makes of that; and the same as a Hub Space."""
