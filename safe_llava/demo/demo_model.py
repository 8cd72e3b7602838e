"""The model that all visitors share: each chat is assessed once, and answered in its turn."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..checkpoints import load_safe_llava
from ..guards.torch_guard import TorchGuard
from ..models.modeling_safety_base import SafetyCausalLMMixin
from ..models.processing_safety import SafetyProcessorMixin
from ..models.safety_modules import SafeLlavaImageFeatures
from ..models.safety_policy import SafetyDecision, SafetyPolicy
from ..models.safety_verdict import SafetyVerdict
from ..serving.chat_reading import ReadChat
from ..serving.generation_request import Event, Generation, Sampling
from ..serving.generation_worker import GenerationWorker
from ..serving.guard_pass import Assessment
from ..serving.policy_holder import PolicyHolder, PolicyInForce
from ..serving.prompt_encoding import EncodedPrompt, encode_chat
from ..serving.request_errors import RequestError
from ..serving.serving_metrics import ServingMetrics
from ..serving.serving_settings import ServingLimits


@dataclass(frozen=True)
class Assessed:
    """
    A chat and what was found in it.

    Args:
        prompt ([`EncodedPrompt`]): its tokens.
        verdict ([`SafetyVerdict`], *optional*): with evidence; `None` where there was no image to assess.
        features ([`SafeLlavaImageFeatures`], *optional*): its images as the language model reads them.
    """

    prompt: EncodedPrompt
    verdict: SafetyVerdict | None = None
    features: SafeLlavaImageFeatures | None = None


class DemoModel:
    """
    Assesses and answers.

    Args:
        model ([`SafeLlavaForConditionalGeneration`]): a model with a safety head.
        processor ([`SafetyProcessorMixin`]): its processor.
        name (`str`): what visitors know the model by.
        limits ([`ServingLimits`]): what one chat may be; its answers have at most `new_tokens`.
        policy (`Path`, *optional*): JSON with changes to the stored policy.

    Raises:
        ValueError: if the model has no safety head, if there is no policy, or if the file is wrong.
    """

    def __init__(
        self,
        model: SafetyCausalLMMixin,
        processor: SafetyProcessorMixin,
        name: str,
        limits: ServingLimits,
        policy: Path | None = None,
    ):
        self.model, self.name, self.limits = model, name, limits
        self.guard = TorchGuard(model, processor)
        self.policy: SafetyPolicy = PolicyHolder(self.guard, policy).current.policy
        self.worker = GenerationWorker(model, processor, ServingMetrics())
        self._turn = threading.Lock()

    @classmethod
    def load(
        cls,
        checkpoint: str,
        limits: ServingLimits,
        policy: Path | None = None,
        device: str | None = None,
        dtype: str = "auto",
        name: str | None = None,
    ) -> "DemoModel":
        """Loads a checkpoint, a folder or a Hub id, and calls it by its last part where it has no name."""
        folder = Path(checkpoint)
        name = name or (folder.resolve() if folder.is_dir() else folder).name
        return cls(*load_safe_llava(checkpoint, device, dtype), name, limits, policy)

    @torch.no_grad()
    def assess(self, messages: list[dict[str, Any]]) -> Assessed:
        """
        The one look at a chat. No policy is in it but the temperature, which visitors cannot change.

        Args:
            messages (`list[dict]`): the chat as `apply_chat_template` takes it, the visitor's turn last.

        Raises:
            ValueError: if it is too long for the model.
        """
        try:
            prompt = encode_chat(ReadChat(messages), self.guard)
        except RequestError as error:
            raise ValueError(error.message) from None
        if not prompt.images:
            return Assessed(prompt)
        model: Any = self.model
        images = {name: values.to(model.device) for name, values in prompt.images.items()}
        images["pixel_values"] = images["pixel_values"].to(model.dtype)
        with self._turn:
            features = model.get_image_features(**images, return_dict=True)
            verdict = model.assess(
                prompt.input_ids[None].to(model.device),
                mm_encoder_outputs={"image": features},
                safety_policy=self.policy,
                return_evidence=True,
            )
        return Assessed(prompt, verdict, features)

    def decide(self, assessed: Assessed, policy: SafetyPolicy) -> SafetyDecision:
        """What a policy makes of what was found already."""
        if assessed.verdict is None:
            return SafetyDecision("answer")
        return self.model.decide(assessed.verdict, policy)[0]

    def prepare(
        self, assessed: Assessed, policy: SafetyPolicy, decision: SafetyDecision, emit: Callable[[Event], None]
    ) -> Generation:
        """An answer that does what was decided; it begins once it is submitted to the worker."""
        assessment = Assessment(PolicyInForce.of(policy), decision, features=assessed.features)
        return Generation(assessed.prompt, [], assessment, Sampling(self.limits.new_tokens), emit)
