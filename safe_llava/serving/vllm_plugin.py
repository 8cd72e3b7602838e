"""vLLM's side of `safe-llava serve --upstream`: registers the classes in its processes (`vllm.general_plugins`)."""

import logging

from transformers import AutoModel

from ..family import FAMILY


logger = logging.getLogger(__name__)
_BACKEND = "vllm.model_executor.models.transformers:TransformersMultiModalForCausalLM"


def register() -> None:
    """
    Makes `AutoModel.from_config` build the model without its head, which is what vLLM's Transformers backend asks for,
    and makes vLLM take that backend for a checkpoint, whose own code it would have to trust otherwise. Called by vLLM
    in each of its processes.
    """
    from vllm import ModelRegistry

    for member in FAMILY.values():
        ModelRegistry.register_model(member.generator.__name__, _BACKEND)
        AutoModel.register(member.config, member.inner, exist_ok=True)
    logger.warning(
        "vLLM knows no safety policy: it answers whatever a SafeLLaVA's images show. Bind it to a private address, "
        "and put `safe-llava serve MODEL --upstream URL` in front of it."
    )
