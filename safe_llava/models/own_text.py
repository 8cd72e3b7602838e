"""What a chat template writes between images, such as line breaks: text that one image alone would not have."""

from collections.abc import Sequence


def find_repeated_text(ids: Sequence[int], is_image: Sequence[bool], is_text: Sequence[bool]) -> list[int]:
    """
    The positions of a prompt whose text the prompt would not have with one of its images alone.

    Args:
        ids (`Sequence[int]`): the prompt's tokens.
        is_image (`Sequence[bool]`): where images stand in it.
        is_text (`Sequence[bool]`): where text does.
    """
    parts: list[list[int]] = [[]]
    for position in range(len(ids)):
        if is_image[position] and parts[-1]:
            parts.append([])
        elif is_text[position]:
            parts[-1].append(position)
    texts = [[ids[position] for position in part] for part in parts]
    repeated = []
    for number in range(1, len(parts) - 1):
        text, length = texts[number], len(texts[number])
        if text in texts[:number] or texts[-1][:length] == text or texts[0][-length:] == text:
            repeated += parts[number]
    return repeated
