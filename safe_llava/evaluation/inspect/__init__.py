"""Safety and over-refusal with inspect-ai: a model provider, a task for each benchmark, judges that see."""

try:
    import inspect_ai  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "inspect_ai":
        raise
    raise ModuleNotFoundError(
        "inspect_ai is missing. Install it: pip install 'safe-llava[evaluation]'", name="inspect_ai"
    ) from error
