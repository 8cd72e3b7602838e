"""What the entry point `inspect_ai` loads: after it inspect knows provider, tasks, scorers and metrics."""

from inspect_ai.model import ModelAPI, modelapi

from . import score_metrics, scorers, tasks  # noqa: F401


@modelapi(name="safe-llava")
def safe_llava() -> type[ModelAPI]:
    """`safe-llava/<folder or Hub id>` of a SafeLLaVA or of a base LLaVA."""
    from .provider import SafeLlavaAPI

    return SafeLlavaAPI
