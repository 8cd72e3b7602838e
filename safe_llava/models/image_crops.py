"""Overlapping crops of an image, so that what is small in all of it is large in one of them."""

from PIL import Image


def cut_crops(image: Image.Image, number: int) -> list[Image.Image]:
    """
    `number` times `number` crops, line by line, of 2 / (number + 1) of the image's width and height each. Neighbours
    overlap by half, so that whatever takes less than 1 / (number + 1) of width and height lies whole in one of them.

    Args:
        image (`PIL.Image.Image`): the image.
        number (`int`): crops in a row and in a column, 2 or more.

    Raises:
        ValueError: if `number` is below 2.
    """
    if number < 2:
        raise ValueError(f"`tiles` must be 2 or more crops a side, got {number}. Leave it out for the image alone.")
    steps = number + 1
    edges = [
        (extent * place // steps, -(-extent * (place + 2) // steps))
        for extent in (image.height, image.width)
        for place in range(number)
    ]
    lines, columns = edges[:number], edges[number:]
    return [image.crop((left, top, right, bottom)) for top, bottom in lines for left, right in columns]
