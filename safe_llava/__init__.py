"""SafeLLaVA: LLaVA models that know which pictures are risky. Importing the package registers the Auto classes."""

from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoModelForMultimodalLM, AutoProcessor
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
)

from .configuration_safe_llava import SafeLlavaConfig
from .modeling_safe_llava import SafeLlavaForConditionalGeneration, SafeLlavaModel
from .processing_safe_llava import SafeLlavaProcessor
from .safety_evidence import SafetyEvidence
from .safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from .safety_policy import SafetyDecision, SafetyPolicy
from .safety_verdict import SafetyVerdict
from .version import __version__


AutoConfig.register("safe_llava", SafeLlavaConfig)
AutoModel.register(SafeLlavaConfig, (SafeLlavaForConditionalGeneration, SafeLlavaModel))
AutoModelForImageTextToText.register(SafeLlavaConfig, SafeLlavaForConditionalGeneration)
AutoModelForMultimodalLM.register(SafeLlavaConfig, SafeLlavaForConditionalGeneration)
AutoProcessor.register(SafeLlavaConfig, SafeLlavaProcessor)
# `transformers serve` and trl look for model types in these static tables.
MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.setdefault("safe_llava", "SafeLlavaForConditionalGeneration")
MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES.setdefault("safe_llava", "SafeLlavaForConditionalGeneration")

__all__ = [
    "SAFETY_LEVELS",
    "SAFETY_TYPES",
    "SafeLlavaConfig",
    "SafeLlavaForConditionalGeneration",
    "SafeLlavaModel",
    "SafeLlavaProcessor",
    "SafetyDecision",
    "SafetyEvidence",
    "SafetyPolicy",
    "SafetyVerdict",
    "__version__",
]
