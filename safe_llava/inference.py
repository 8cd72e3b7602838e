"""Answers: to one question, with the verdict behind it and what the policy did; and to every row of a dataset."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from datasets import Dataset
from PIL import Image
from tqdm import tqdm
from transformers import BatchFeature, PreTrainedModel, ProcessorMixin

from .data.encoded_images import keep_images_encoded
from .evidence_overlay import draw_evidence
from .models.image_reading import read_images
from .models.modeling_safe_llava import SafeLlavaForConditionalGeneration
from .models.processing_safety import SafetyProcessorMixin
from .models.safety_policy import SafetyDecision


@dataclass
class Answer:
    """
    What a model says to one question.

    Args:
        answer (`str`): the answer alone, without special tokens and without a hint.
        verdict (`dict`, *optional*): a row of [`SafetyVerdict.to_list`]; `None` without an image or a safety head.
        decision ([`SafetyDecision`], *optional*): what the policy did; `None` where none applied.
        evidence (`PIL.Image.Image`, *optional*): the images and words that the verdict rests on, if asked for.
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


@torch.no_grad()
def encode_question(
    model: PreTrainedModel, processor: ProcessorMixin, question: str, images: Sequence[Any] = ()
) -> BatchFeature:
    """
    A question of one turn behind its images, as the model takes it.

    Args:
        model (`PreTrainedModel`): gives device and dtype.
        processor (`ProcessorMixin`): its processor.
        question (`str`): the user's words.
        images (`Sequence`, *optional*): put before the question, in this order.

    Returns:
        [`~transformers.BatchFeature`]
    """
    parts = [*({"type": "image", "image": image} for image in images), {"type": "text", "text": question}]
    return processor.apply_chat_template(
        [{"role": "user", "content": parts}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    ).to(model.device, model.dtype)


def ask(
    model: SafeLlavaForConditionalGeneration,
    processor: SafetyProcessorMixin,
    question: str,
    images: Sequence[Any] = (),
    return_evidence: bool = False,
    **generate_kwargs: Any,
) -> Answer:
    """
    Answers one question about any number of images, greedily unless `generate_kwargs` say otherwise.

    Args:
        model ([`SafeLlavaForConditionalGeneration`]): the model, with its policy.
        processor ([`SafetyProcessorMixin`]): its processor.
        question (`str`): the user's words.
        images (`Sequence`, *optional*):
            Put before the question, in this order: everything that
            [`~safe_llava.models.image_reading.read_image`] takes, such as paths or `PIL.Image.Image`s.
        return_evidence (`bool`, *optional*, defaults to `False`): whether to draw why the verdict is what it is.
        generate_kwargs (`Any`): everything that `generate` takes, such as `max_new_tokens` or `safety_policy`.

    Returns:
        [`Answer`]

    Raises:
        ValueError: if there is evidence to draw and no image or no safety head.
    """
    if return_evidence and not images:
        raise ValueError("Evidence is drawn on an image, and there is none. Give at least one image.")
    images = read_images(list(images))
    inputs = encode_question(model, processor, question, images)
    if return_evidence:
        # Encoded once, for the answer and for the evidence.
        names = [name for name in ("pixel_values", *model.image_arguments) if name in inputs]
        features = model.get_image_features(**{name: inputs.pop(name) for name in names})
        inputs["mm_encoder_outputs"] = {"image": features}
    output: Any = model.generate(**inputs, **{"do_sample": False, **generate_kwargs}, return_dict_in_generate=True)
    verdict, decisions = output.get("safety_verdict"), output.get("safety_decisions")
    if return_evidence or (verdict is None and images and model.config.use_safety_head):
        policy = generate_kwargs.get("safety_policy")
        verdict = model.assess(**inputs, safety_policy=policy, return_evidence=return_evidence)
    return Answer(
        answer=processor.decode(output.sequences[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip(),
        verdict=None if verdict is None else verdict.to_list()[0],
        decision=None if decisions is None else decisions[0],
        evidence=draw_evidence(verdict, images, inputs["input_ids"], processor) if return_evidence else None,
    )


def chat_prompt(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Takes the last answer off a row and puts its images into the first turn, as chat templates want them."""
    turns = [{"role": m["role"], "content": [{"type": "text", "text": m["content"]}]} for m in row["messages"][:-1]]
    turns[0]["content"] = [{"type": "image"}] * len(row["images"]) + turns[0]["content"]
    return turns


@torch.no_grad()
def answer_dataset(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    dataset: Dataset,
    batch_size: int = 64,
    max_new_tokens: int = 32,
    system_prompt: str | None = None,
    **generate_kwargs: Any,
) -> list[dict[str, Any]]:
    """
    Answers the last question of every row.

    Args:
        model ([`~transformers.PreTrainedModel`]): a LLaVA, with or without a safety head.
        processor ([`~transformers.ProcessorMixin`]): its processor.
        dataset ([`~datasets.Dataset`]):
            Rows with `messages` and `images`; the last message is the answer to compare with and is not shown.
        batch_size (`int`, *optional*, defaults to 64): prompts in one `generate`.
        max_new_tokens (`int`, *optional*, defaults to 32): longest answer, in tokens.
        system_prompt (`str`, *optional*): what stands before the first turn of every chat.
        generate_kwargs (`Any`): passed on to `generate`, such as `safety_policy`.

    Returns:
        `list[dict]`: for each row, in order, `answer`, and the head's `level` and `type` (indices), `level_probs` and
        `type_probs` (lists); `None` without a head.
    """
    system = (
        [] if system_prompt is None else [{"role": "system", "content": [{"type": "text", "text": system_prompt}]}]
    )
    lengths = [sum(len(message["content"]) for message in messages) for messages in dataset["messages"]]
    order = sorted(range(len(dataset)), key=lengths.__getitem__)
    answers: list[dict[str, Any]] = [{}] * len(dataset)
    encoded = keep_images_encoded(dataset)
    for start in tqdm(range(0, len(order), batch_size), desc="answer", leave=False):
        indices = order[start : start + batch_size]
        rows = [encoded[i] for i in indices]
        texts = [processor.apply_chat_template(system + chat_prompt(row), add_generation_prompt=True) for row in rows]
        images = read_images([row["images"] for row in rows])
        inputs = processor(
            images=images if any(images) else None, text=texts, padding=True, padding_side="left", return_tensors="pt"
        ).to(model.device)
        output = model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            return_dict_in_generate=True,
            **generate_kwargs,
        )
        new_tokens = output.sequences[:, inputs["input_ids"].shape[1] :]
        replies = processor.batch_decode(new_tokens, skip_special_tokens=True)
        verdict = output.get("safety_verdict")
        for place, (i, reply) in enumerate(zip(indices, replies)):
            answers[i] = {"answer": reply.strip()}
            for name in ("level", "type", "level_probs", "type_probs"):
                answers[i][name] = getattr(verdict, name)[place].tolist() if verdict else None
    return answers
