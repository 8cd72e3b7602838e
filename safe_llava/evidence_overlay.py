"""Draws why a row was flagged: the evidence as heat on the user's own images, and the words that told."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

from .models.image_reading import read_images
from .models.processing_safety import SafetyProcessorMixin
from .models.safety_labels import RISK_TYPES
from .models.safety_verdict import SafetyVerdict
from .models.special_tokens import find_special_tokens


MARGIN, LINE, FONT_SIZE = 14, 28, 18
SPECIAL_TOKEN_SHARE, FAINTEST = 0.1, 0.05
HEAT = np.array([[255.0, 214.0, 0.0], [213.0, 0.0, 0.0]])
"""Colours of little and of most relevance."""
LEVEL_COLORS = {"none": "#2e7d32", "low": "#b26a00", "medium": "#d84315", "high": "#b71c1c"}


def draw_evidence(
    verdict: SafetyVerdict,
    images: Sequence[Image.Image],
    input_ids: torch.LongTensor,
    processor: SafetyProcessorMixin,
    *,
    row: int = 0,
    height: int = 448,
    font: str | None = None,
) -> Image.Image:
    """
    One row's images side by side under the verdict and above the prompt. What the vision tower never saw is dimmed.

    The heat is relative to the most relevant patch of the row, if that has an even share of the lead at least. A word
    is fully red where the risk type would lose its whole lead over "safe" without it. Both fade as the verdict turns
    to "safe". An untrusted verdict gets no heat.

    Args:
        verdict ([`SafetyVerdict`]): from `model.assess(..., return_evidence=True)`.
        images (`Sequence[PIL.Image.Image]`): the row's images as the user gave them, in the prompt's order.
        input_ids (`torch.LongTensor` of shape `(batch_size, sequence_length)`): the prompts that were assessed.
        processor ([`SafetyProcessorMixin`]): the processor that made them.
        row (`int`, *optional*, defaults to 0): which row of the batch to draw.
        height (`int`, *optional*, defaults to 448):
            Largest height of an image, in pixels; the width is at most twice that.
        font (`str`, *optional*): a TrueType file, for scripts that Pillow's own font lacks.

    Returns:
        `PIL.Image.Image`: the drawing, in RGB.

    Raises:
        ValueError: if the verdict has no evidence, or if there are no images or another number than the row has.
    """
    if verdict.evidence is None:
        raise ValueError("The verdict holds no evidence. Get it with `model.assess(..., return_evidence=True)`.")
    maps = verdict.evidence.patch_relevance[row].cpu()
    if not images or len(images) != len(maps):
        raise ValueError(
            f"`images` must be the images of row {row}, one or more: the row has {len(maps)}, and {len(images)} "
            "are given."
        )
    images = read_images(list(images))
    strength = 1.0 - float(verdict.type_probs[row, -1]) if verdict.trusted[row] else 0.0
    lead = float(verdict.evidence.lead[row])
    # Where no patch stands out, the largest is noise: it must not look like a finding.
    strongest = max(float(maps.max()), lead / maps.numel(), torch.finfo(maps.dtype).tiny)
    heats = (strength * maps / strongest).numpy()
    panels = [
        draw_heat(image, heat, find_seen_box(image.size, processor.image_processor, len(images) == 1), height)
        for image, heat in zip(images, heats)
    ]
    words = read_words(input_ids[row].tolist(), verdict.evidence.word_relevance[row].tolist(), processor)
    scale = max(lead, *(value for _, value in words), 0.0)
    colored_words = [(word, strength * value / scale if scale > 0 else 0.0) for word, value in words]
    return _lay_out(panels, *_describe(verdict, row), colored_words, font)


def find_seen_box(
    size: tuple[int, int], image_processor: Any, is_alone: bool = True
) -> tuple[float, float, float, float]:
    """
    The part of an image that the safety head sees, as (left, top, right, bottom) in the image's own pixels. It
    reaches beyond the image where the image processor pads. Of images that are cut into tiles it sees the base tile.

    Args:
        size (`tuple[int, int]`): width and height of the image.
        image_processor ([`~transformers.BaseImageProcessor`]):
            With the settings of CLIP's, SigLIP's or LLaVA's (`do_pad` makes the image square first), or one that
            cuts images.
        is_alone (`bool`, *optional*, defaults to `True`):
            Whether it is the only image of its row. LLaVA-OneVision makes others square, and cuts none of them.
    """
    width, height = size
    if getattr(image_processor, "image_grid_pinpoints", None) is not None:
        is_square = "batch_num_images" in image_processor.model_input_names and not is_alone
        extent = (max(size), max(size)) if is_square else size
        left, top = (width - extent[0]) / 2, (height - extent[1]) / 2
        return left, top, left + extent[0], top + extent[1]
    box_width, box_height = (max(size), max(size)) if getattr(image_processor, "do_pad", False) else (width, height)
    if getattr(image_processor, "do_center_crop", False):
        crop, scale_x, scale_y = image_processor.crop_size, 1.0, 1.0
        if image_processor.do_resize:
            target = image_processor.size
            if target.get("shortest_edge"):
                scale_x = scale_y = target["shortest_edge"] / min(box_width, box_height)
            else:
                scale_x, scale_y = target["width"] / box_width, target["height"] / box_height
        box_width, box_height = crop["width"] / scale_x, crop["height"] / scale_y
    left, top = (width - box_width) / 2, (height - box_height) / 2
    return left, top, left + box_width, top + box_height


def draw_heat(
    image: Image.Image, heat: np.ndarray, box: tuple[float, float, float, float], height: int = 448
) -> Image.Image:
    """
    Lays heat over an image.

    Args:
        image (`PIL.Image.Image`): the image, of any size.
        heat (`np.ndarray` of shape `(rows, columns)`): values from 0 to 1 over `box`.
        box (`tuple[float, float, float, float]`): what the heat covers, see [`find_seen_box`].
        height (`int`, *optional*, defaults to 448): largest height to draw, in pixels.
    """
    enlarged = height / image.height > 3  # Drawn pixels stay pixels: smoothing them would look like content.
    method = Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS
    panel = ImageOps.contain(image.convert("RGB"), (2 * height, height), method)
    scale = panel.width / image.width
    left, top, right, bottom = (round(edge * scale) for edge in box)
    values, seen = Image.new("F", panel.size, 0.0), Image.new("F", panel.size, 0.0)
    extent = (right - left, bottom - top)
    values.paste(Image.fromarray(heat.astype(np.float32)).resize(extent, Image.Resampling.BILINEAR), (left, top))
    seen.paste(1.0, (left, top, right, bottom))

    pixels = np.asarray(panel, dtype=np.float32)
    gray = pixels.mean(axis=-1, keepdims=True)
    pixels = np.where(np.asarray(seen)[..., None] > 0, 0.55 * pixels + 0.45 * gray, 0.3 * gray)
    share = np.asarray(values)[..., None]
    pixels += 0.7 * np.sqrt(share) * (HEAT[0] + (HEAT[1] - HEAT[0]) * share - pixels)
    return Image.fromarray(pixels.round().astype(np.uint8))


def read_words(
    token_ids: Sequence[int], relevance: Sequence[float], processor: SafetyProcessorMixin
) -> list[tuple[str, float]]:
    """
    A prompt as words with the relevance of their tokens summed up. Image placeholders are left out, and so are
    special tokens with less than a tenth of the largest relevance.

    Args:
        token_ids (`Sequence[int]`): the prompt.
        relevance (`Sequence[float]`): one value per token, a row of `evidence.word_relevance`.
        processor ([`SafetyProcessorMixin`]): knows the tokenizer and the placeholder.
    """
    tokenizer = processor.tokenizer
    placeholder = processor.image_token_id
    special_ids = {*find_special_tokens(tokenizer), placeholder}
    least = SPECIAL_TOKEN_SHARE * max(relevance, default=0.0)
    words: list[tuple[str, float]] = []
    for is_special, tokens in groupby(zip(token_ids, relevance), key=lambda token: token[0] in special_ids):
        if is_special:
            counting = [token for token in tokens if token[0] != placeholder and token[1] > least]
            words += [(tokenizer.decode([token_id]), value) for token_id, value in counting]
        else:
            words += _join_tokens(list(tokens), tokenizer)
    return words


def _join_tokens(tokens: list[tuple[int, float]], tokenizer: Any) -> list[tuple[str, float]]:
    """Cuts text where its white space is. A word gets what its tokens and the white space before it have."""
    words: list[tuple[str, float]] = []
    read, pending = "", 0.0
    for end, (_, value) in enumerate(tokens, start=1):
        pending += value
        text = tokenizer.decode([token_id for token_id, _ in tokens[:end]])
        piece = text[len(read) :]
        if not piece.strip() or text.endswith("\N{REPLACEMENT CHARACTER}"):  # White space, or half a character.
            continue
        if words and not piece[0].isspace() and not read[-1:].isspace():
            words[-1] = (words[-1][0] + piece.strip(), words[-1][1] + pending)
        else:
            words.append((piece.strip(), pending))
        read, pending = text, 0.0
    return words


def _describe(verdict: SafetyVerdict, row: int) -> tuple[str, str]:
    level, risk_type = verdict.levels[row], verdict.types[row]
    if not verdict.trusted[row]:
        return f"{level}: this verdict is not trusted, so there is nothing to explain", LEVEL_COLORS[level]
    text = f"{level}, {risk_type} ({float(verdict.type_probs[row].max()):.0%})"
    explained = RISK_TYPES[int(verdict.evidence.risk_type[row])] if verdict.evidence else risk_type
    if explained != risk_type:
        text += f"; shown: {explained} ({float(verdict.type_probs[row, :-1].max()):.0%})"
    return text, LEVEL_COLORS[level]


def _lay_out(
    panels: list[Image.Image], title: str, title_color: str, words: list[tuple[str, float]], font: str | None
) -> Image.Image:
    """The title, the images side by side, and the words below."""
    face: Any = ImageFont.load_default(FONT_SIZE) if font is None else ImageFont.truetype(font, FONT_SIZE)
    width = sum(panel.width + MARGIN for panel in panels) + MARGIN
    width = max(width, round(face.getlength(title)) + 2 * MARGIN)
    lines: list[list[tuple[str, float, float, float]]] = [[]]
    gap = face.getlength(" ")
    x = float(MARGIN)
    for word, share in words:
        extent = face.getlength(word)
        if lines[-1] and x + extent > width - MARGIN:
            lines.append([])
            x = MARGIN
        lines[-1].append((word, share, x, x + extent))
        x += extent + gap
    top = MARGIN + LINE + max(panel.height for panel in panels) + MARGIN
    canvas = Image.new("RGB", (width, top + LINE * len(lines) + MARGIN), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN), title, fill=title_color, font=face)
    x = MARGIN
    for panel in panels:
        canvas.paste(panel, (x, MARGIN + LINE))
        x += panel.width + MARGIN
    for number, line in enumerate(lines):
        y = top + number * LINE
        for word, share, left, right in line:
            if share > FAINTEST:
                color = 255 + share * (HEAT[0] * (1 - share) + HEAT[1] * share - 255)
                draw.rounded_rectangle((left - 2, y - 2, right + 2, y + LINE - 6), 4, tuple(color.astype(int)))
            draw.text((left, y), word, fill="black" if share < 0.6 else "white", font=face)
    return canvas
