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

from .family import FAMILY
from .foreign_modules import import_foreign_modules
from .models.configuration_safe_llava import SafeLlavaConfig
from .models.configuration_safe_llava_next import SafeLlavaNextConfig
from .models.configuration_safe_llava_onevision import SafeLlavaOnevisionConfig
from .models.modeling_safe_llava import (
    SafeLlavaForConditionalGeneration,
    SafeLlavaForSafetyClassification,
    SafeLlavaModel,
)
from .models.modeling_safe_llava_next import (
    SafeLlavaNextForConditionalGeneration,
    SafeLlavaNextForSafetyClassification,
    SafeLlavaNextModel,
)
from .models.modeling_safe_llava_onevision import (
    SafeLlavaOnevisionForConditionalGeneration,
    SafeLlavaOnevisionForSafetyClassification,
    SafeLlavaOnevisionModel,
)
from .models.pipeline_safe_llava import SafeLlavaImageTextToTextPipeline, SafetyClassificationPipeline
from .models.processing_safe_llava import SafeLlavaProcessor
from .models.processing_safe_llava_next import SafeLlavaNextProcessor
from .models.processing_safe_llava_onevision import SafeLlavaOnevisionProcessor
from .models.safety_evidence import SafetyEvidence
from .models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from .models.safety_policy import SafetyDecision, SafetyPolicy
from .models.safety_verdict import SafetyVerdict
from .smol.lite0_tower import Lite0VisionConfig, Lite0VisionModel
from .version import __version__


for _model_type, _member in FAMILY.items():
    AutoConfig.register(_model_type, _member.config)
    AutoModel.register(_member.config, (_member.generator, _member.guard, _member.inner))
    AutoModelForImageClassification.register(_member.config, _member.guard)
    AutoModelForImageTextToText.register(_member.config, _member.generator)
    AutoModelForMultimodalLM.register(_member.config, _member.generator)
    AutoProcessor.register(_member.config, _member.processor)
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
    "SafeLlavaNextConfig",
    "SafeLlavaNextForConditionalGeneration",
    "SafeLlavaNextForSafetyClassification",
    "SafeLlavaNextModel",
    "SafeLlavaNextProcessor",
    "SafeLlavaOnevisionConfig",
    "SafeLlavaOnevisionForConditionalGeneration",
    "SafeLlavaOnevisionForSafetyClassification",
    "SafeLlavaOnevisionModel",
    "SafeLlavaOnevisionProcessor",
    "SafeLlavaProcessor",
    "SafetyClassificationPipeline",
    "SafetyDecision",
    "SafetyEvidence",
    "SafetyPolicy",
    "SafetyVerdict",
    "__version__",
]
