"""What all processors share: images of every kind are read, and user text cannot pose as control tokens."""

import os
from typing import Any

from transformers import ProcessorMixin
from transformers.dynamic_module_utils import custom_object_save

from .image_reading import read_images
from .safety_configuration import build_auto_map
from .special_tokens import special_texts


class SafetyProcessorMixin(ProcessorMixin):
    r"""
    Goes before the processor of a LLaVA. `num_additional_image_tokens` counts the safety tokens in front of each
    image as well as a CLS token: 64 + 1 for LLaVA-1.5.

    Every image, in a chat or beside a prompt, is read by [`~safe_llava.models.image_reading.read_image`], and so are
    arrays: what is normalised for the vision tower already belongs into `pixel_values`, not through a processor.

    In chats, text that spells a special token or an image placeholder, or a part of one where it begins or ends, is
    kept from becoming one: a space goes behind its first character (`<image>` turns into `< image>`). Prompts that
    are passed as strings are taken as they are, since only the caller knows which part of them is the user's.
    """

    model_type: str
    """That of the models which this processor is for."""

    def apply_chat_template(
        self,
        conversation: list[dict] | list[list[dict]],
        chat_template: str | None = None,
        tools: list[dict] | None = None,
        documents: list[dict] | None = None,
        **kwargs: Any,
    ):
        """
        As its parent, on messages whose text can hold no special token: wherever in a message, a tool, a document or a
        variable of the template it stands.

        Raises:
            TypeError: if a message holds something that a template may render and that is no text, number, list or
                dictionary, nor turns into one as dataclasses and pydantic's models do.
        """
        chat_text = special_texts(self)
        # What these variables hold are special tokens, and are to stay some.
        own = {name: kwargs.pop(name) for name in self.tokenizer.special_tokens_map if name in kwargs}
        kwargs = {name: chat_text.neutralize_variable(value) for name, value in kwargs.items()}
        if tools is not None:
            kwargs["tools"] = [tool if callable(tool) else chat_text.neutralize(tool) for tool in tools]
        if documents is not None:
            kwargs["documents"] = chat_text.neutralize(documents)
        return super().apply_chat_template(chat_text.neutralize(conversation), chat_template, **kwargs, **own)

    def __call__(self, images: Any = None, text: Any = None, **kwargs: Any):
        """
        As its parent, with images of every kind.

        Args:
            images (`Any`, *optional*): what [`~safe_llava.models.image_reading.read_images`] takes.
            text (`str` or `list[str]`, *optional*): prompts, with one placeholder for each image.
            kwargs: as for the parent.

        Raises:
            UnreadableImageError: if an image cannot be read.
            ValueError: if the number of placeholders in `text` is not the number of images in `images`, or if there
                is a video.
        """
        if kwargs.get("videos") is not None:
            raise ValueError("A SafeLLaVA takes no videos. Give some of a video's frames as images of one row.")
        # Chats come through here too: their template hands on images, paths, URLs and base64 as it finds them.
        images = read_images(images)
        if text is not None:
            texts = [text] if isinstance(text, str) else text
            placeholders = sum(prompt.count(self.image_token) for prompt in texts)
            num_images = _count_images(images)
            if placeholders != num_images:
                raise ValueError(
                    f"The total number of {self.image_token} tokens in the prompts should be the same as the number "
                    f"of images passed, but there are {placeholders} tokens and {num_images} images. In a chat, give "
                    'each image a part {"type": "image"}; in a string, one token.'
                )
        return super().__call__(images=images, text=text, **kwargs)

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any):
        """As its parent, with the code that `trust_remote_code=True` needs."""
        os.makedirs(save_directory, exist_ok=True)
        custom_object_save(self, save_directory)
        return super().save_pretrained(save_directory, *args, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """As its parent, with the `auto_map` by which `AutoProcessor` finds this class where it is not registered."""
        return super().to_dict() | {"auto_map": {"AutoProcessor": build_auto_map(self.model_type)["AutoProcessor"]}}


def _count_images(images: Any) -> int:
    if images is None:
        return 0
    return sum(map(_count_images, images)) if isinstance(images, list) else 1
