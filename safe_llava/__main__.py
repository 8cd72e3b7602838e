"""`python -m safe_llava` is `safe-llava`."""

from .cli import app


app()
