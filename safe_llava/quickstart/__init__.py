"""The whole method on the embedded miniature, in one command."""
