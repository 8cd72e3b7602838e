"""The paper's way from public data to an evaluated checkpoint, repeated in one command."""
