"""What one maker does otherwise than the other, so that few makers show a model many ways to draw a thing."""

import random

from PIL import Image, ImageChops, ImageEnhance, ImageFilter


def change(drawing: Image.Image, rng: random.Random) -> Image.Image:
    """
    Mirrors, turns, recolours, outlines or blurs a drawing.

    Args:
        drawing (`PIL.Image.Image`): RGBA, at the size at which it is shown.
        rng (`random.Random`): says what is done.

    Returns:
        `PIL.Image.Image`: RGBA of the same size.
    """
    if rng.random() < 0.5:
        drawing = drawing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.7:
        drawing = drawing.rotate(rng.uniform(-20, 20), Image.Resampling.BILINEAR)
    alpha = drawing.getchannel("A")
    colours = drawing.convert("RGB")
    if rng.random() < 0.15:
        colours = colours.convert("L").convert("RGB")
    elif rng.random() < 0.5:
        hue, saturation, value = colours.convert("HSV").split()
        turn = rng.randrange(-14, 15)
        hue = hue.point([(level + turn) % 256 for level in range(256)])
        colours = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    for enhance in (ImageEnhance.Color, ImageEnhance.Brightness, ImageEnhance.Contrast):
        if rng.random() < 0.5:
            colours = enhance(colours).enhance(rng.uniform(0.55, 1.5))
    if rng.random() < 0.1:
        colours = ImageChops.blend(colours, colours.filter(ImageFilter.FIND_EDGES), 0.6)
    if rng.random() < 0.2:
        colours = colours.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    if rng.random() < 0.35:
        wide = alpha.filter(ImageFilter.MaxFilter(rng.choice((3, 5))))
        line = Image.new("RGB", drawing.size, (0, 0, 0) if rng.random() < 0.7 else (255, 255, 255))
        line.paste(colours, mask=alpha)
        colours, alpha = line, wide
    colours.putalpha(alpha)
    return colours
