"""The members of the LLaVA family that can be made safe, each with its classes."""

from typing import NamedTuple

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
from .models.modeling_safety_base import SafetyCausalLMMixin, SafetyModelMixin
from .models.modeling_safety_guard import SafetyClassificationMixin
from .models.processing_safe_llava import SafeLlavaProcessor
from .models.processing_safe_llava_next import SafeLlavaNextProcessor
from .models.processing_safe_llava_onevision import SafeLlavaOnevisionProcessor
from .models.processing_safety import SafetyProcessorMixin
from .models.safety_configuration import SafetyConfigMixin


class FamilyMember(NamedTuple):
    """
    A kind of SafeLLaVA.

    Args:
        config (`type`): its configuration.
        generator (`type`): what answers.
        guard (`type`): what only assesses.
        inner (`type`): what answers, without its language-model head.
        processor (`type`): its processor.
    """

    config: type[SafetyConfigMixin]
    generator: type[SafetyCausalLMMixin]
    guard: type[SafetyClassificationMixin]
    inner: type[SafetyModelMixin]
    processor: type[SafetyProcessorMixin]


FAMILY = {
    member.config.model_type: member
    for member in (
        FamilyMember(
            SafeLlavaConfig,
            SafeLlavaForConditionalGeneration,
            SafeLlavaForSafetyClassification,
            SafeLlavaModel,
            SafeLlavaProcessor,
        ),
        FamilyMember(
            SafeLlavaNextConfig,
            SafeLlavaNextForConditionalGeneration,
            SafeLlavaNextForSafetyClassification,
            SafeLlavaNextModel,
            SafeLlavaNextProcessor,
        ),
        FamilyMember(
            SafeLlavaOnevisionConfig,
            SafeLlavaOnevisionForConditionalGeneration,
            SafeLlavaOnevisionForSafetyClassification,
            SafeLlavaOnevisionModel,
            SafeLlavaOnevisionProcessor,
        ),
    )
}
"""By `model_type`; behind "safe_" stands that of the LLaVA which the member is made from."""
