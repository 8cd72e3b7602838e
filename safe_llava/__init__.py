"""SafeLLaVA: LLaVA models that know which images are risky. Importing the package registers the Auto classes."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageClassification,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
)
from transformers.pipelines import PIPELINE_REGISTRY

from .foreign_modules import import_foreign_modules
from .models.configuration_safe_llava import SafeLlavaConfig
from .models.modeling_safe_llava import SafeLlavaForConditionalGeneration, SafeLlavaModel
from .models.modeling_safe_llava_guard import SafeLlavaForSafetyClassification
from .models.pipeline_safe_llava import SafeLlavaImageTextToTextPipeline, SafetyClassificationPipeline
from .models.processing_safe_llava import SafeLlavaProcessor
from .models.safety_evidence import SafetyEvidence
from .models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from .models.safety_policy import SafetyDecision, SafetyPolicy
from .models.safety_verdict import SafetyVerdict
from .smol.lite0_tower import Lite0VisionConfig, Lite0VisionModel
from .version import __version__


AutoConfig.register("safe_llava", SafeLlavaConfig)
AutoModel.register(
    SafeLlavaConfig, (SafeLlavaForConditionalGeneration, SafeLlavaForSafetyClassification, SafeLlavaModel)
)
AutoModelForImageClassification.register(SafeLlavaConfig, SafeLlavaForSafetyClassification)
AutoModelForImageTextToText.register(SafeLlavaConfig, SafeLlavaForConditionalGeneration)
AutoModelForMultimodalLM.register(SafeLlavaConfig, SafeLlavaForConditionalGeneration)
AutoProcessor.register(SafeLlavaConfig, SafeLlavaProcessor)
AutoConfig.register("lite0_vision", Lite0VisionConfig)
AutoModel.register(Lite0VisionConfig, Lite0VisionModel)
PIPELINE_REGISTRY.register_pipeline(
    "safety-classification", SafetyClassificationPipeline, pt_model=AutoModelForImageClassification, type="multimodal"
)
# Images beside a prompt never reach the processor as they are: transformers' pipeline loads them itself.
PIPELINE_REGISTRY.supported_tasks["image-text-to-text"]["impl"] = SafeLlavaImageTextToTextPipeline
import_foreign_modules()

__all__ = [
    "SAFETY_LEVELS",
    "SAFETY_TYPES",
    "SafeLlavaConfig",
    "SafeLlavaForConditionalGeneration",
    "SafeLlavaForSafetyClassification",
    "SafeLlavaModel",
    "SafeLlavaProcessor",
    "SafetyClassificationPipeline",
    "SafetyDecision",
    "SafetyEvidence",
    "SafetyPolicy",
    "SafetyVerdict",
    "__version__",
]
