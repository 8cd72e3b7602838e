"""The guard of a checkpoint, on torch."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from PIL import Image
from torch.nn.utils.rnn import pad_sequence

from ..models.array_verdict import ArrayVerdict, Separate
from ..models.encoded_prompt import EncodedPrompt
from ..models.image_batches import join_images
from ..models.processing_safety import SafetyProcessorMixin
from ..models.safety_assessment import SafeLlavaAssessmentMixin
from ..models.safety_guarantee import name_weights, require_own_guarantee
from ..models.safety_modules import SafeLlavaImageFeatures
from ..models.safety_policy import SafetyPolicy
from ..models.safety_policy_tokens import join_policy_tokens, tokenize_policy
from ..models.safety_verdict import SafetyVerdict
from ..models.special_tokens import special_texts
from .pixel_table import PixelTable


class TorchGuard:
    """
    A model that assesses, and may be able to answer, as an [`AssessingGuard`].

    Args:
        model ([`SafeLlavaForConditionalGeneration`] or [`SafeLlavaForSafetyClassification`]): a model with a head.
        processor ([`SafetyProcessorMixin`]): its processor.

    Raises:
        ValueError: if the model has no safety head.
    """

    def __init__(self, model: SafeLlavaAssessmentMixin, processor: SafetyProcessorMixin):
        if not model.config.use_safety_head:
            raise ValueError("The model has no safety head, so nothing could be assessed. Take one that has.")
        self.model, self.processor = model, processor
        self.special_texts = special_texts(processor)
        self._pixel_table = PixelTable.of(processor.image_processor)
        self._enforces = False

    @property
    def device(self) -> str:
        return str(self.model.device.type)

    @property
    def policy(self) -> SafetyPolicy | None:
        return self.model.safety_policy

    @property
    def weights(self) -> str | None:
        return next(iter(name_weights(self.model.config)), None)

    @property
    def version(self) -> str:
        digest = hashlib.sha256()
        for name, weight in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        digest.update(self.processor.image_processor.to_json_string().encode())
        digest.update(str(self.processor.chat_template).encode())
        if (familiarity := self.model.config.safety_familiarity) is not None:
            digest.update(json.dumps(familiarity, sort_keys=True).encode())
        return digest.hexdigest()[:12]

    @property
    def cuts_images(self) -> bool:
        return self.model.cuts_images

    @property
    def max_tokens(self) -> int:
        return int(self.model.config.get_text_config().max_position_embeddings)

    @property
    def longest_token(self) -> int:
        return max(map(len, self.processor.tokenizer.get_vocab()))

    def explain_distrust(self) -> str | None:
        return self.model.explain_distrust()

    def enforce(self, policy: SafetyPolicy) -> None:
        if not self._enforces:
            self.model.set_safety_policy(policy, self.processor)
            self._enforces = True
            return
        # What the old policy decided still needs its texts: first both have token ids, then the new one rules.
        config: Any = self.model.config
        require_own_guarantee(policy.guarantee, config)
        token_ids = tokenize_policy(policy, self.processor)
        config.safety_policy_token_ids = join_policy_tokens(token_ids, config.safety_policy_token_ids)
        config.safety_policy = policy.to_dict()

    def count_hint(self, text: str) -> int:
        return len((self.model.config.safety_policy_token_ids or {})["texts"]["hint"][text])

    def count_tokens(self, text: str) -> int:
        return len(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"])

    def render(self, chats: Sequence[list[dict[str, Any]]]) -> list[str]:
        return self.processor.apply_chat_template(list(chats), add_generation_prompt=True, tokenize=False)

    def encode_images(self, images: Sequence[Image.Image]) -> dict[str, Any]:
        if self._pixel_table is not None:
            return self._pixel_table.encode(images)
        # Some processors cut the only image of a prompt, and not several.
        return dict(self.processor.image_processor([list(images)], return_tensors="pt"))

    def encode(self, prompts: Sequence[str], images: Sequence[dict[str, Any]]) -> list[EncodedPrompt]:
        full = [self._fill(prompt, of_prompt) for prompt, of_prompt in zip(prompts, images, strict=True)]
        bos = self.processor.tokenizer.bos_token
        has_bos = bos is not None and full[0].startswith(bos)
        rows = self.processor.tokenizer(full, add_special_tokens=not has_bos)["input_ids"]
        return [EncodedPrompt(torch.tensor(ids), of_prompt) for ids, of_prompt in zip(rows, images)]

    def _fill(self, prompt: str, images: dict[str, Any]) -> str:
        """A prompt with as many placeholders as each image takes."""
        token, number = self.processor.image_token, len(images["pixel_values"]) if images else 0
        # Users' texts hold no such token any more: the processor's chat template has seen to that.
        if (found := prompt.count(token)) != number:
            raise ValueError(f"A prompt has {found} placeholders of images, and {number} images.")
        placeholders = (self.processor.replace_image_token(images, index) for index in range(number))
        return re.sub(re.escape(token), lambda _: next(placeholders), prompt)

    def assess(self, prompts: Sequence[EncodedPrompt]) -> ArrayVerdict:
        return _to_arrays(self.model.assess(**self._pad(prompts), **self._join(prompts), safety_policy=False))

    @torch.no_grad()
    def assess_and_keep(self, prompts: Sequence[EncodedPrompt]) -> tuple[ArrayVerdict, SafeLlavaImageFeatures]:
        """As `assess`, in the pass of the vision tower that an answer is made of too."""
        features: Any = self.model.get_image_features(**self._join(prompts), return_dict=True)
        verdict = self.model.assess(**self._pad(prompts), mm_encoder_outputs={"image": features}, safety_policy=False)
        return _to_arrays(verdict), features

    def ran_out_of_memory(self, error: Exception) -> bool:
        if not (isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error)):
            return False
        clear_device_cache(garbage_collection=True)
        return True

    def _pad(self, prompts: Sequence[EncodedPrompt]) -> dict[str, Any]:
        ids, side = [prompt.input_ids for prompt in prompts], self.processor.tokenizer.padding_side
        padding = self.processor.tokenizer.pad_token_id or 0
        inputs = {
            "input_ids": pad_sequence(ids, True, padding, side),
            "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], True, 0, side),
        }
        return {name: values.to(self.model.device) for name, values in inputs.items()}

    def _join(self, prompts: Sequence[EncodedPrompt]) -> dict[str, Any]:
        images = join_images([prompt.images for prompt in prompts if prompt.images])
        if images:
            images["pixel_values"] = images["pixel_values"].to(self.model.device, self.model.dtype)
        return images


def _to_arrays(verdict: SafetyVerdict) -> ArrayVerdict:
    separate = Separate()
    if (found := verdict.separate) is not None:
        logits = (values.float().cpu().numpy() for values in (found.level_logits, found.type_logits))
        separate = Separate(found.rows.cpu().numpy(), *logits)
    return ArrayVerdict(
        verdict.level_logits.float().cpu().numpy(),
        verdict.type_logits.float().cpu().numpy(),
        verdict.has_image.cpu().numpy(),
        verdict.trusted.cpu().numpy(),
        separate,
        None if verdict.novelty is None else verdict.novelty.float().cpu().numpy(),
    )
