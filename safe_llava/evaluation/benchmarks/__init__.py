"""The benchmarks the field uses, read from their published files."""
