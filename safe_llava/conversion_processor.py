"""The processor of a converted checkpoint: the source's, with everything that generation needs."""

from pathlib import Path

import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoProcessor,
    AutoTokenizer,
    GenerationConfig,
    LlavaProcessor,
    PreTrainedTokenizerBase,
)

from .chat_templates import fit_chat_template
from .conversion_source import blaming
from .models.modeling_safe_llava import SafeLlavaForConditionalGeneration
from .models.processing_safe_llava import SafeLlavaProcessor


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
    tokenizer = stock.tokenizer
    # What a tokenizer was not made with, it does not save.
    tokenizer.padding_side = tokenizer.init_kwargs["padding_side"] = "left"
    if tokenizer.eos_token is None:
        raise ValueError(f"{folder}: the tokenizer has no `eos_token`, without which no answer ends.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    _check_image_size(folder, stock, config.vision_config.image_size)
    patch_size, num_additional_tokens = _measure_images(folder, model)
    processor = SafeLlavaProcessor(
        image_processor=stock.image_processor,
        tokenizer=tokenizer,
        patch_size=patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        chat_template=chat_template or stock.chat_template,
        image_token=stock.image_token,
        num_additional_image_tokens=num_additional_tokens,
    )
    _check_image_token(folder, processor, config.image_token_id)
    _end_answers(model.generation_config, tokenizer)
    num_embeddings = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > num_embeddings:
        raise ValueError(
            f"{folder}: the tokenizer has {len(tokenizer)} tokens, but the model embeds {num_embeddings} "
            "(`text_config.vocab_size` in config.json). Resize the model's embeddings first."
        )
    fit_chat_template(processor, folder)
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


def _measure_images(folder: Path, model: SafeLlavaForConditionalGeneration) -> tuple[int, int]:
    """
    Pixels from one patch to the next, and what an image takes beyond its patches: the tower's CLS token, where it has
    one, and the safety tokens. From what the model makes of an image; `image_seq_length` gets the whole.
    """
    config = model.config
    size = config.vision_config.image_size
    pixel_values = torch.empty(
        (1, getattr(config.vision_config, "num_channels", 3), size, size), dtype=model.dtype, device="meta"
    )
    with blaming(
        f"{folder}: the vision tower ({config.vision_config.model_type}) does not give what `vision_feature_layer` "
        f"{config.vision_feature_layer} of config.json reads"
    ):
        features = model.model.get_image_features(pixel_values)
    config.image_seq_length = features.num_placeholders
    patch_size = size // features.patch_grid[1]
    drops_first_token = config.vision_feature_select_strategy == "default"
    return patch_size, features.num_placeholders - (size // patch_size) ** 2 + drops_first_token


def _end_answers(generation_config: GenerationConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Ends answers at the tokenizer's end token too, which training teaches, where the source has only others."""
    ends = generation_config.eos_token_id
    ends = [] if ends is None else ends if isinstance(ends, list) else [ends]
    if tokenizer.eos_token_id not in ends:
        generation_config.eos_token_id = [tokenizer.eos_token_id, *ends]
    if generation_config.pad_token_id is None:
        generation_config.pad_token_id = tokenizer.pad_token_id


def _check_image_token(folder: Path, processor: SafeLlavaProcessor, image_token_id: int) -> None:
    tokenizer, token = processor.tokenizer, processor.image_token
    ids = tokenizer(f"a{token}{token}\nb", add_special_tokens=False)["input_ids"]
    own = tokenizer.convert_tokens_to_ids(token)
    if ids.count(own) != 2:
        raise ValueError(
            f"{folder}: the tokenizer takes the image token {token!r} apart. Add it as a special token, "
            f'tokenizer.add_tokens(AddedToken("{token}", special=True, normalized=False)), resize the model\'s '
            "embeddings, and save both."
        )
    if image_token_id != own:
        raise ValueError(
            f"{folder}: the tokenizer's image token {token!r} has id {own}, but `image_token_id` in config.json is "
            f"{image_token_id}. Make them agree."
        )
