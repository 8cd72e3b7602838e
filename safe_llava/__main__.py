"""`python -m safe_llava` is `safe-llava`."""

try:
    from .cli import app
except ModuleNotFoundError:  # installed from a wheel, which has this folder as a package of its own
    from safe_llava_cli import app  # type: ignore[no-redef]


app()
