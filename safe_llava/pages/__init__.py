"""What the pages in a browser have in common: how they are served, how they look, and images that are hidden."""
