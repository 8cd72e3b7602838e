"""The processor of a converted checkpoint: the source's, with everything that generation needs."""

import re
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer, LlavaProcessor

from .conversion_source import blaming
from .models.modeling_safe_llava import SafeLlavaForConditionalGeneration
from .models.processing_safe_llava import SafeLlavaProcessor


_TEMPLATE_ADVICE = (
    "Pass one that takes a list of parts as `chat_template` (`--chat-template FILE`), such as that of "
    "llava-hf/llava-1.5-7b-hf."
)


def convert_processor(
    folder: Path, model: SafeLlavaForConditionalGeneration, chat_template: str | None
) -> SafeLlavaProcessor:
    """
    The source's tokenizer and image processor. How many tokens an image takes comes from the model, whatever the
    source's processor says; padding is on the left, as generation needs it.

    Args:
        folder (`Path`): the source.
        model ([`SafeLlavaForConditionalGeneration`]): the converted model, on the meta device.
        chat_template (`str`, *optional*): in place of the source's.

    Raises:
        ValueError: if a file of the processor is broken, or tokenizer, chat template or image size do not fit.
    """
    stock = _load(folder)
    config = model.config
    chat_template = chat_template or stock.chat_template
    if chat_template is None:
        raise ValueError(f"The processor of {folder} has no chat template. {_TEMPLATE_ADVICE}")
    tokenizer = stock.tokenizer
    tokenizer.padding_side = "left"
    if tokenizer.eos_token is None:
        raise ValueError(f"{folder}: the tokenizer has no `eos_token`, without which no answer ends.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    _check_image_size(folder, stock, config.vision_config.image_size)
    processor = SafeLlavaProcessor(
        image_processor=stock.image_processor,
        tokenizer=tokenizer,
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        chat_template=chat_template,
        image_token=stock.image_token,
        num_additional_image_tokens=_count_additional_tokens(model),
    )
    num_embeddings = model.get_input_embeddings().weight.shape[0]
    if processor.image_token_id != config.image_token_id:
        raise ValueError(
            f"{folder}: the tokenizer's image token {processor.image_token!r} has id {processor.image_token_id}, but "
            f"`image_token_id` in config.json is {config.image_token_id}. Make them agree."
        )
    if len(tokenizer) > num_embeddings:
        raise ValueError(
            f"{folder}: the tokenizer has {len(tokenizer)} tokens, but the model embeds {num_embeddings} "
            "(`text_config.vocab_size` in config.json). Resize the model's embeddings first."
        )
    _check_chat_template(folder, processor)
    return processor


def _load(folder: Path) -> LlavaProcessor:
    try:
        stock = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        for loader, files in (
            (AutoTokenizer, "the tokenizer (tokenizer.json, tokenizer_config.json)"),
            (AutoImageProcessor, "the image processor (preprocessor_config.json or processor_config.json)"),
        ):
            with blaming(f"{folder}: {files} cannot be loaded"):
                loader.from_pretrained(folder, trust_remote_code=False)
        with blaming(f"{folder / 'processor_config.json'} cannot be loaded"):
            raise error
    if not isinstance(stock, LlavaProcessor):
        raise ValueError(f"{folder} has no LLaVA processor (found {type(stock).__name__}). Save one beside the model.")
    return stock


def _check_image_size(folder: Path, stock: LlavaProcessor, image_size: int) -> None:
    """Tries an image that is not square, once the sizes are known to be of the model's order."""
    for field in ("size", "crop_size"):
        edges = getattr(stock.image_processor, field, None) or {}
        for edge in ("shortest_edge", "longest_edge", "height", "width"):
            if (edges.get(edge) or 0) > 8 * image_size:
                raise ValueError(
                    f"{folder}: `{field}.{edge}` of the image processor is {edges[edge]}, but the vision tower takes "
                    f"{image_size} x {image_size} pixels."
                )
    with blaming(f"{folder}: the image processor (preprocessor_config.json or processor_config.json) fails"):
        image = Image.new("RGB", (2 * image_size, image_size))
        shape = tuple(stock.image_processor(image, return_tensors="pt")["pixel_values"].shape)
    if shape != (1, 3, image_size, image_size):
        raise ValueError(
            f"{folder}: the image processor makes {shape[-1]} x {shape[-2]} pixels of an image, but the vision tower "
            f"takes {image_size} x {image_size}. Correct `size` and `crop_size` in its preprocessor_config.json or "
            "processor_config.json."
        )


def _count_additional_tokens(model: SafeLlavaForConditionalGeneration) -> int:
    """What an image takes beyond its patches: the tower's CLS token, where it has one, and the safety tokens."""
    vision = model.config.vision_config
    shape = (1, vision.num_channels, vision.image_size, vision.image_size)
    made = model.model.get_image_features(torch.empty(shape, dtype=model.dtype, device="meta")).pooler_output[0]
    drops_first_token = model.config.vision_feature_select_strategy == "default"
    return len(made) - (vision.image_size // vision.patch_size) ** 2 + drops_first_token


def _check_chat_template(folder: Path, processor: SafeLlavaProcessor) -> None:
    """Renders a chat of parts: every text and the image must come out once, in their order."""
    texts = ["first-question", "first-answer", "second-question"]
    chat = [
        {"role": role, "content": [{"type": "text", "text": text}]}
        for role, text in zip(("user", "assistant", "user"), texts)
    ]
    chat[0]["content"].insert(0, {"type": "image"})  # type: ignore[attr-defined]
    with blaming(f"The chat template of {folder} fails on a list of parts. {_TEMPLATE_ADVICE} It says"):
        text = processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    found = re.findall("|".join(map(re.escape, [processor.image_token, *texts])), text)
    if sorted(found) != sorted([processor.image_token, *texts]) or [name for name in found if name in texts] != texts:
        raise ValueError(
            f"The chat template of {folder} takes no list of parts: of an image and the texts {', '.join(texts)} it "
            f"made {text!r:.300}. {_TEMPLATE_ADVICE}"
        )
