"""Utility with lmms-eval: a SafeLLaVA as one of its models, its tasks run and kept, and their standard errors."""
