"""One question about pictures: the answer, the verdict behind it and what the policy did."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from .configuration_safe_llava import SafeLlavaConfig
from .evidence_overlay import draw_evidence
from .modeling_safe_llava import SafeLlavaForConditionalGeneration
from .processing_safe_llava import SafeLlavaProcessor
from .safety_policy import SafetyDecision


@dataclass
class Answer:
    """
    What a model says to one question.

    Args:
        answer (`str`): the answer alone, without special tokens and without a hint.
        verdict (`dict`, *optional*): a row of [`SafetyVerdict.to_list`]; `None` without a picture or a safety head.
        decision ([`SafetyDecision`], *optional*): what the policy did; `None` where none applied.
        evidence (`PIL.Image.Image`, *optional*): the pictures and words that the verdict rests on, if asked for.
    """

    answer: str
    verdict: dict[str, Any] | None = None
    decision: SafetyDecision | None = None
    evidence: Image.Image | None = None

    def to_dict(self) -> dict[str, Any]:
        """Answer, verdict and decision as nested dictionaries that JSON can hold."""
        values = asdict(replace(self, evidence=None))
        del values["evidence"]
        return values


def read_config(checkpoint: str | os.PathLike) -> SafeLlavaConfig:
    """
    The configuration of a checkpoint, a folder or a Hub id.

    Raises:
        ValueError: if there is no model, or one that is no SafeLLaVA.
    """
    try:
        config = AutoConfig.from_pretrained(checkpoint)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{checkpoint} cannot be loaded as a model, neither as a folder nor as a Hub id: {error}"
        ) from error
    if config.model_type != "safe_llava":
        raise ValueError(
            f"{checkpoint} is a {config.model_type!r}, not a 'safe_llava'. Make one of it with "
            f"`safe-llava convert {checkpoint} OUTPUT`, then train it."
        )
    return config


def load_safe_llava(
    checkpoint: str | os.PathLike, device: str | None = None, dtype: str = "auto"
) -> tuple[SafeLlavaForConditionalGeneration, SafeLlavaProcessor]:
    """
    A model in evaluation mode, and its processor.

    Args:
        checkpoint (`str` or `os.PathLike`): a folder or a Hub id.
        device (`str`, *optional*): such as `"cpu"` or `"cuda:0"`. Defaults to the first accelerator, else the CPU.
        dtype (`str`, *optional*, defaults to `"auto"`): `"auto"` keeps the checkpoint's.

    Raises:
        ValueError: if the checkpoint is no SafeLLaVA.
    """
    if device is None:
        from accelerate.state import PartialState

        device = str(PartialState().default_device)
    read_config(checkpoint)
    model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=dtype, device_map=device)
    return model.eval(), AutoProcessor.from_pretrained(checkpoint)


@torch.no_grad()
def ask(
    model: SafeLlavaForConditionalGeneration,
    processor: SafeLlavaProcessor,
    question: str,
    pictures: Sequence[Image.Image] = (),
    return_evidence: bool = False,
    **generate_kwargs: Any,
) -> Answer:
    """
    Answers one question about any number of pictures, greedily unless `generate_kwargs` say otherwise.

    Args:
        model ([`SafeLlavaForConditionalGeneration`]): the model, with its policy.
        processor ([`SafeLlavaProcessor`]): its processor.
        question (`str`): the user's words.
        pictures (`Sequence[PIL.Image.Image]`, *optional*): put before the question, in this order.
        return_evidence (`bool`, *optional*, defaults to `False`): whether to draw why the verdict is what it is.
        generate_kwargs: everything that `generate` takes, such as `max_new_tokens` or `safety_policy`.

    Returns:
        [`Answer`]

    Raises:
        ValueError: if there is evidence to draw and no picture or no safety head.
    """
    if return_evidence and not pictures:
        raise ValueError("Evidence is drawn on a picture, and there is none. Give at least one picture.")
    parts = [*({"type": "image", "image": picture} for picture in pictures), {"type": "text", "text": question}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": parts}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    ).to(model.device, model.dtype)
    if return_evidence:
        # Encoded once, for the answer and for the evidence.
        inputs["mm_encoder_outputs"] = {"image": model.get_image_features(inputs.pop("pixel_values"))}
    output: Any = model.generate(**inputs, **{"do_sample": False, **generate_kwargs}, return_dict_in_generate=True)
    verdict, decisions = output.get("safety_verdict"), output.get("safety_decisions")
    if return_evidence or (verdict is None and pictures and model.config.use_safety_head):
        policy = generate_kwargs.get("safety_policy")
        verdict = model.assess(**inputs, safety_policy=policy, return_evidence=return_evidence)
    return Answer(
        answer=processor.decode(output.sequences[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip(),
        verdict=None if verdict is None else verdict.to_list()[0],
        decision=None if decisions is None else decisions[0],
        evidence=draw_evidence(verdict, pictures, inputs["input_ids"], processor) if return_evidence else None,
    )
