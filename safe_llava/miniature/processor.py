"""Builds the miniature's tokenizer and processor: LLaVA-1.5's prompt format over a vocabulary of its own."""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlavaProcessor, PreTrainedTokenizerFast
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from .drawing import CELL_PIXELS, IMAGE_SIZE


PATCH_SIZE = CELL_PIXELS // 2
SPECIAL_TOKENS = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
MAX_VOCAB_SIZE = 2048

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}
{%- if message['content'] is string -%}{{ message['content'] + ' ' }}
{%- else -%}{%- for part in message['content'] -%}{{ part['text'] + ' ' }}{%- endfor -%}{%- endif -%}
{%- elif message['role'] == 'user' -%}
{{- 'USER: ' -}}
{%- if message['content'] is string -%}{{ message['content'] + ' ' }}
{%- else -%}
{%- for part in message['content'] if part['type'] == 'image' -%}{{ '<image>\\n' }}{%- endfor -%}
{%- for part in message['content'] if part['type'] == 'text' -%}{{ part['text'] + ' ' }}{%- endfor -%}
{%- endif -%}
{%- else -%}
{{- 'ASSISTANT:' -}}
{%- generation -%}
{%- if message['content'] is string -%}{{ ' ' + message['content'] }}
{%- else -%}
{%- for part in message['content'] if part['type'] == 'text' -%}{{ ' ' + part['text'] }}{%- endfor -%}
{%- endif -%}
{{- eos_token -}}
{%- endgeneration -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}
"""
"""LLaVA-1.5's template; the assistant's turn ends in the end-of-sequence token, and images come before the text."""


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE: every word of the texts becomes one token, and any other text falls back to bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=MAX_VOCAB_SIZE,
            min_frequency=1,
            special_tokens=SPECIAL_TOKENS,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", SPECIAL_TOKENS.index("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )


def build_processor(texts: Iterable[str]) -> LlavaProcessor:
    """
    Builds a stock LLaVA-1.5 processor for the miniature.

    Args:
        texts (`Iterable[str]`): all that the tokenizer must know word by word.
    """
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": IMAGE_SIZE}, crop_size=size),
        tokenizer=train_tokenizer(texts),
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
        image_token="<image>",
        num_additional_image_tokens=1,
    )
