"""What the detector of unfamiliar images tells of attacks, on the miniature, beside two simpler ones."""
