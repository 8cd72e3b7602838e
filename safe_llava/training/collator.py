"""Batches in which only the assistant's answers carry labels.

trl's own collators do not fit LLaVA-1.5: its chat template writes neither the BOS token nor the EOS token, which trl
then leaves out of training, and trl tokenises the completion apart from the prompt, which gives a Llama tokenizer
other tokens than the model writes itself. Here a conversation is tokenised in one piece, as `generate` would see it.
"""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import ProcessorMixin
from trl.data_utils import prepare_multimodal_messages

from ..data.label_parsing import SET_COLUMNS, parse_labels
from ..models.image_reading import read_images
from ..models.special_tokens import find_special_tokens
from .class_figures import CLASSES
from .robust_rows import ATTACKED_ROWS, RobustRows
from .training_row import is_head_only, row_images, row_labels


@dataclass
class SafeDataCollator:
    """
    Renders, tokenises and pads rows of `messages` (or `prompt` and `completion`), `images` (or `image`, one a row),
    `safety_level` and `safety_type`, as indices or names, one class or a list of those that are possible.

    Labels are the tokens of the assistant's answers and the end-of-sequence token behind the last of them; everything
    else is -100. Of a `prompt`, no turn is labelled. The safety head reads text whose label is -100, so that it sees
    every question and no answer that is being learned. A row whose `head_only` is true ends with the question: the
    head learns from its label, and the language model nothing.

    Args:
        processor ([`~transformers.ProcessorMixin`]): the model's processor, with a fast tokenizer.
        max_length (`int`, *optional*): tokens after which a row is cut. By default rows are kept whole, as images must
            be.
        pad_to_multiple_of (`int`, *optional*): pads the batch to a multiple of this many tokens.
        robust ([`RobustRows`], *optional*): changes the images of some rows, in training.
    """

    processor: ProcessorMixin
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    robust: RobustRows | None = None

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """
        Makes a batch of rows.

        Args:
            examples (`list[dict]`): rows as the dataset gives them, images decoded or not.

        Returns:
            `dict[str, torch.Tensor]`: `input_ids`, `attention_mask` and `labels` of shape `(batch_size,
            sequence_length)`, padded on the right; `pixel_values` where the batch has an image; where the rows have
            them, `safety_level` and `safety_type` of shape `(batch_size,)`, or, if of some row several classes are
            possible, as bool masks of shape `(batch_size, 4)` and `(batch_size, 7)`; with `robust`, `attacked_rows`.

        Raises:
            ValueError: if a row has no answer and is not `head_only` with a label, if its images and placeholders do
                not match, if `max_length` cuts an image or the whole answer, or if it has no such label.
        """
        texts, answers, images_by_row = zip(*[self._render(example) for example in examples])
        images = read_images(list(images_by_row))
        attacked_rows = None
        if self.robust is not None and any(images):
            images, attacked_rows = self.robust.draw(texts, images)
        bos_token = self.processor.tokenizer.bos_token
        has_bos = bos_token is not None and texts[0].startswith(bos_token)
        batch = self.processor(
            images=images if any(images) else None,
            text=list(texts),
            add_special_tokens=not has_bos,
            padding=True,
            padding_side="right",
            pad_to_multiple_of=self.pad_to_multiple_of,
            return_tensors="pt",
            return_offsets_mapping=True,
            return_text_replacement_offsets=True,
        )
        starts, ends = batch.pop("offset_mapping").unbind(dim=-1)
        replacements = batch.pop("text_replacement_offsets", None) or [[]] * len(examples)
        labels = torch.full_like(batch["input_ids"], -100)
        for row, spans in enumerate(answers):
            for span in spans:
                first, last = (_shift(position, replacements[row]) for position in span)
                answer = (starts[row] < last) & (ends[row] > first)
                labels[row, answer] = batch["input_ids"][row, answer]
        batch["labels"] = labels
        if self.max_length is not None:
            self._cut(batch)
        safety_labels = [row_labels(example) for example in examples]
        if any(safety_labels):
            batch.update(_as_tensors([row or parse_labels({})[0] for row in safety_labels]))
        if attacked_rows is not None:
            batch[ATTACKED_ROWS] = attacked_rows
        return dict(batch)

    def _cut(self, batch: dict[str, torch.Tensor]) -> None:
        rest = {name: batch[name][:, self.max_length :] for name in ("input_ids", "labels")}
        for name in ("input_ids", "attention_mask", "labels"):
            batch[name] = batch[name][:, : self.max_length]
        lost_image = (rest["input_ids"] == self.processor.image_token_id).any()
        lost_answer = (rest["labels"] != -100).any(dim=1) & (batch["labels"] == -100).all(dim=1)
        if lost_image or lost_answer.any():
            raise ValueError(
                f"`max_length` ({self.max_length}) cuts {'an image' if lost_image else 'the whole answer'} of a row "
                "away. Set it to None, or leave such rows out."
            )

    def _render(self, example: dict[str, Any]) -> tuple[str, list[tuple[int, int]], list[Any]]:
        """One row as text, the character spans of its answers, and its images."""
        images = row_images(example)
        prompt = example.get("prompt")
        if isinstance(prompt, str):
            text = self._end(prompt + example["completion"])
            self._check_images(text, images)
            return text, [(len(prompt), len(text))], images
        messages = example["messages"] if prompt is None else [*prompt, *example["completion"]]
        messages = prepare_multimodal_messages(messages, images=images)
        # In the order of their placeholders, with those that a message brings itself.
        images = [part["image"] for message in messages for part in message["content"] if part["type"] == "image"]
        text = self._chat(messages, add_generation_prompt=is_head_only(example))
        self._check_images(text, images)
        last = None if is_head_only(example) else len(messages) - 1
        spans = []
        for index in range(len(prompt or []), len(messages)):
            if messages[index]["role"] == "assistant":
                before = self._chat(messages[:index], add_generation_prompt=True)
                after = text if index == last else self._chat(messages[: index + 1])
                if not (after.startswith(before) and text.startswith(after)):
                    raise ValueError(
                        "The chat template writes a turn differently once another follows, so answers cannot be told "
                        f"from prompts. It wrote {before!r}, then {after!r}, then {text!r}."
                    )
                spans.append((len(before), len(after.rstrip())))
        if is_head_only(example):
            return text, spans, images
        if not spans:
            raise ValueError(f"A row has no assistant turn to learn from: {text!r:.200}.")
        text = self._end(text)
        spans[-1] = (spans[-1][0], len(text))
        return text, spans, images

    def _check_images(self, text: str, images: list[Any]) -> None:
        """The rows of a batch are tokenised together, where one with too many could make up for another."""
        num_placeholders = text.count(self.processor.image_token)
        if num_placeholders != len(images):
            raise ValueError(
                f"A row has {num_placeholders} image placeholders for {len(images)} images: {text!r:.200}."
            )

    def _chat(self, messages: list[dict[str, Any]], add_generation_prompt: bool = False) -> str:
        return self.processor.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=add_generation_prompt
        )

    def _end(self, text: str) -> str:
        """The text with a token at its end that stops generation: the template's own, or else the EOS token."""
        tokenizer, text = self.processor.tokenizer, text.rstrip()
        ends = text.endswith(tuple(find_special_tokens(tokenizer).values()))
        return text if ends else text + tokenizer.eos_token


def _as_tensors(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Class indices where each row has one or none, else masks, in which a row without a label has no class."""
    tensors = {}
    for name, sets in SET_COLUMNS.items():
        tensors[name] = torch.tensor([row[name] for row in rows])
        if any(row[sets] for row in rows):
            possible = [{*row[sets], row[name]} for row in rows]
            num_classes = len(CLASSES[name.removeprefix("safety_")])
            tensors[name] = torch.tensor([[index in classes for index in range(num_classes)] for classes in possible])
    return tensors


def _shift(position: int, replacements: list[dict[str, Any]]) -> int:
    """Where a character stands once each image's placeholder is written out as often as the image has tokens."""
    gains = [found["new_span"][1] - found["span"][1] for found in replacements if found["span"][1] <= position]
    return position + max(gains, default=0)
