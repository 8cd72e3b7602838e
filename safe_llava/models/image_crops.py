"""Overlapping crops of an image, so that what is small in all of it is large in one of them."""

from collections.abc import Sequence

from PIL import Image


def add_crops(images: Sequence[Image.Image], number: int | None, cuts_images: bool) -> list[Image.Image]:
    """
    Images, each followed by its crops: images of one row, of which the gravest verdict decides.

    Args:
        images (`Sequence[PIL.Image.Image]`): the images of one row.
        number (`int`, *optional*): crops in a row and in a column; `None` for the images alone.
        cuts_images (`bool`): whether the model cuts images itself.

    Raises:
        ValueError: if `number` is below 2, or the model cuts images itself.
    """
    if number is None:
        return list(images)
    if cuts_images:
        raise ValueError(
            "`tiles` is for models that see an image as one square, and this one cuts images itself. Leave it out; a "
            'model with `safety_tiles="all"` in its config reads all that it cuts.'
        )
    return [part for image in images for part in (image, *cut_crops(image, number))]


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
