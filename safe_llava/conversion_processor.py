"""The processor of a converted checkpoint: the source's, with everything that generation needs."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoProcessor,
    AutoTokenizer,
    BatchFeature,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)

from .chat_templates import fit_chat_template
from .conversion_source import blaming
from .family import FAMILY
from .models.modeling_safety_base import SafetyCausalLMMixin
from .models.processing_safe_llava_onevision import SafeLlavaOnevisionProcessor
from .models.processing_safety import SafetyProcessorMixin
from .models.safety_modules import SafeLlavaImageFeatures


def convert_processor(folder: Path, model: SafetyCausalLMMixin, chat_template: str | None) -> SafetyProcessorMixin:
    """
    The source's tokenizer and image processor. How many tokens an image takes comes from the model, whatever the
    source's processor says; padding is on the left, as generation needs it.

    Args:
        folder (`Path`): the source.
        model ([`SafetyCausalLMMixin`]): the converted model, on the meta device.
        chat_template (`str`, *optional*): in place of the source's.

    Raises:
        ValueError: if a file of the processor is broken, or tokenizer, chat template or image size do not fit.
    """
    config = model.config
    processor_class = FAMILY[config.model_type].processor
    stock = _load(folder, processor_class)
    tokenizer = stock.tokenizer
    # What a tokenizer was not made with, it does not save.
    tokenizer.padding_side = tokenizer.init_kwargs["padding_side"] = "left"
    if tokenizer.eos_token is None:
        raise ValueError(f"{folder}: the tokenizer has no `eos_token`, without which no answer ends.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    encoded = _encode_image(folder, stock, config)
    features: Any = _look_at_image(folder, model, encoded)
    if processor_class is SafeLlavaOnevisionProcessor:
        sizes = {
            "num_image_tokens": features.patch_grid[0] * features.patch_grid[1],
            "vision_aspect_ratio": config.vision_aspect_ratio,
        }
    else:
        sizes = {"patch_size": config.vision_config.image_size // features.patch_grid[1]}
    processor = processor_class(
        image_processor=stock.image_processor,
        tokenizer=tokenizer,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        chat_template=chat_template or stock.chat_template,
        image_token=stock.image_token,
        num_additional_image_tokens=0,
        **sizes,
    )
    # The tower's CLS token, where it has one, and the safety tokens: from what the model makes of an image.
    (placeholders,) = features.num_placeholders
    processor.num_additional_image_tokens = placeholders - _count_placeholders(processor, encoded)
    if config.model_type == "safe_llava":
        config.image_seq_length = placeholders
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


def _load(folder: Path, processor_class: type[SafetyProcessorMixin]) -> ProcessorMixin:
    # LLaVA-OneVision's own needs a video processor, and with that torchvision.
    loader = processor_class if processor_class is SafeLlavaOnevisionProcessor else AutoProcessor
    try:
        stock = loader.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        for part, files in (
            (AutoTokenizer, "the tokenizer (tokenizer.json, tokenizer_config.json)"),
            (AutoImageProcessor, "the image processor (preprocessor_config.json or processor_config.json)"),
        ):
            with blaming(f"{folder}: {files} cannot be loaded"):
                part.from_pretrained(folder, trust_remote_code=False)
        with blaming(f"{folder / 'processor_config.json'} cannot be loaded"):
            raise error
    if not isinstance(stock, processor_class.__bases__[-1]):
        raise ValueError(f"{folder} has no LLaVA processor (found {type(stock).__name__}). Save one beside the model.")
    return stock


def _encode_image(folder: Path, stock: ProcessorMixin, config: PreTrainedConfig) -> BatchFeature:
    """What becomes of an image that is not square, once the sizes are known to be of the model's order."""
    image_size = config.vision_config.image_size
    for field in ("size", "crop_size"):
        edges = getattr(stock.image_processor, field, None) or {}
        for edge in ("shortest_edge", "longest_edge", "height", "width"):
            if (edges.get(edge) or 0) > 8 * image_size:
                raise ValueError(
                    f"{folder}: `{field}.{edge}` of the image processor is {edges[edge]}, but the vision tower takes "
                    f"{image_size} x {image_size} pixels."
                )
    grids, own_grids = (getattr(part, "image_grid_pinpoints", None) for part in (config, stock.image_processor))
    if _as_lists(own_grids) != _as_lists(grids):
        raise ValueError(
            f"{folder}: `image_grid_pinpoints` of the image processor are not those of config.json, so images would "
            "be cut otherwise than the model takes them. Make them agree."
        )
    with blaming(f"{folder}: the image processor (preprocessor_config.json or processor_config.json) fails"):
        image = Image.new("RGB", (2 * image_size, image_size))
        encoded = stock.image_processor(image, return_tensors="pt")
        shape = tuple(encoded["pixel_values"].shape)
    if shape[0] != 1 or shape[-3:] != (3, image_size, image_size) or (len(shape) == 5) != (grids is not None):
        raise ValueError(
            f"{folder}: the image processor makes {shape[-1]} x {shape[-2]} pixels of an image, but the vision tower "
            f"takes {image_size} x {image_size}. Correct `size` and `crop_size` in its preprocessor_config.json or "
            "processor_config.json."
        )
    return encoded


def _look_at_image(folder: Path, model: SafetyCausalLMMixin, encoded: BatchFeature) -> SafeLlavaImageFeatures:
    """What the model makes of an image, without its data."""
    config = model.config
    shape = list(encoded["pixel_values"].shape)
    shape[-3] = getattr(config.vision_config, "num_channels", 3)
    pixel_values = torch.empty(shape, dtype=model.dtype, device="meta")
    arguments = {name: encoded[name] for name in model.image_arguments if name in encoded}
    with blaming(
        f"{folder}: the vision tower ({config.vision_config.model_type}) does not give what `vision_feature_layer` "
        f"{config.vision_feature_layer} of config.json reads"
    ):
        return model.model.get_image_features(pixel_values, **arguments)


def _count_placeholders(processor: SafetyProcessorMixin, encoded: BatchFeature) -> int:
    return processor.replace_image_token(encoded, 0).count(processor.image_token)


def _as_lists(grids: Any) -> list[list[int]]:
    return [list(map(int, grid)) for grid in grids or []]


def _end_answers(generation_config: GenerationConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Ends answers at the tokenizer's end token too, which training teaches, where the source has only others."""
    ends = generation_config.eos_token_id
    ends = [] if ends is None else ends if isinstance(ends, list) else [ends]
    if tokenizer.eos_token_id not in ends:
        generation_config.eos_token_id = [tokenizer.eos_token_id, *ends]
    if generation_config.pad_token_id is None:
        generation_config.pad_token_id = tokenizer.pad_token_id


def _check_image_token(folder: Path, processor: SafetyProcessorMixin, image_token_id: int) -> None:
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
