"""
Tiny stand-ins that every test shares: random, offline, and so small that a forward pass takes milliseconds.

Session fixtures are built once: a test that changes a model, its config or a processor works on a `copy.deepcopy`.
"""

import copy
import gc
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, List, Value
from datasets import Image as Picture
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from safe_llava import SafeLlavaConfig, SafeLlavaForConditionalGeneration, SafeLlavaProcessor, SafetyPolicy
from safe_llava.models.safety_trust import record_training
from tests.chromium import open_browser


def pytest_collection_finish() -> None:
    # What is imported stays. Every training collects garbage twice, and would look through all of it each time.
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


IMAGE_SIZE, PATCH_SIZE = 30, 6
NUM_PATCHES = (IMAGE_SIZE // PATCH_SIZE) ** 2
NUM_SAFETY_TOKENS = 4
SPECIAL_TOKENS = ["<unk>", "<s>", "</s>", "<pad>", "<image>"]

# "USER: <image>\n{question} ASSISTANT: {answer} ", what LLaVA-1.5 was trained on.
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message.role != 'system' -%}{{ message.role | upper + ': ' }}{%- endif -%}
{%- if message.content is string -%}{%- set parts = [{'type': 'text', 'text': message.content}] -%}
{%- else -%}{%- set parts = message.content -%}{%- endif -%}
{%- for part in parts if part.type == 'image' -%}{{ '<image>\\n' }}{%- endfor -%}
{%- for part in parts if part.type == 'text' -%}
{%- if message.role == 'assistant' -%}{%- generation -%}{{ part.text + ' ' }}{%- endgeneration -%}
{%- else -%}{{ part.text + ' ' }}{%- endif -%}
{%- endfor -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}
"""

# Tests share the cores between processes, so neither they nor what they start takes more than one each.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A Llama-style BPE over Metaspace. Any text of printable Latin-1 characters and line breaks round-trips."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    alphabet = ["▁", "\n", *(chr(code) for code in range(256) if chr(code).isprintable())]
    trainer = trainers.BpeTrainer(special_tokens=SPECIAL_TOKENS, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["USER: ASSISTANT: What is in the picture? Who is this? A red circle."], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", SPECIAL_TOKENS.index("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


@pytest.fixture(scope="session")
def tiny_llava_processor() -> LlavaProcessor:
    """A stock LLaVA-1.5 processor: 30 px pictures, 25 patches and a CLS token each."""
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": IMAGE_SIZE}, crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}
        ),
        tokenizer=build_tokenizer(),
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
        num_additional_image_tokens=1,
    )


@pytest.fixture(scope="session")
def tiny_processor(tiny_llava_processor: LlavaProcessor) -> SafeLlavaProcessor:
    """The processor of `tiny_safe_llava`: 4 safety tokens in front of the 25 patches of each picture."""
    stock = tiny_llava_processor
    return SafeLlavaProcessor(
        image_processor=stock.image_processor,
        tokenizer=stock.tokenizer,
        patch_size=stock.patch_size,
        vision_feature_select_strategy=stock.vision_feature_select_strategy,
        chat_template=stock.chat_template,
        num_additional_image_tokens=stock.num_additional_image_tokens + NUM_SAFETY_TOKENS,
    )


@pytest.fixture(scope="session")
def tiny_llava(tiny_llava_processor: LlavaProcessor) -> LlavaForConditionalGeneration:
    """A stock LLaVA with random weights, wide enough spread that its answers depend on the picture."""
    tokenizer = tiny_llava_processor.tokenizer
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            projection_dim=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            image_size=IMAGE_SIZE,
            patch_size=PATCH_SIZE,
            initializer_factor=4.0,
        ),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            initializer_range=0.3,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        ),
        image_token_id=tokenizer.image_token_id,
        image_seq_length=NUM_PATCHES,
    )
    torch.manual_seed(0)
    return LlavaForConditionalGeneration(config).eval()


@pytest.fixture(scope="session")
def tiny_safe_llava(
    tiny_llava: LlavaForConditionalGeneration, tiny_processor: SafeLlavaProcessor
) -> SafeLlavaForConditionalGeneration:
    """`tiny_llava` with random safety modules and the default policy attached, as conversion would build it."""
    base = tiny_llava.config.to_dict()
    del base["model_type"], base["architectures"]
    config = SafeLlavaConfig(
        **base,
        num_safety_tokens=NUM_SAFETY_TOKENS,
        num_safety_visual_tokens=9,
        safety_projector_hidden_size=32,
        safety_head_num_attention_heads=4,
    )
    torch.manual_seed(1)
    model = SafeLlavaForConditionalGeneration(config).eval()
    model.load_state_dict(tiny_llava.state_dict(), strict=False)
    model.generation_config = copy.deepcopy(tiny_llava.generation_config)
    model.set_safety_policy(SafetyPolicy(), tiny_processor)
    record_training(model)
    return model


@pytest.fixture(scope="session")
def alarmed_safe_llava(tiny_safe_llava: SafeLlavaForConditionalGeneration) -> SafeLlavaForConditionalGeneration:
    """`tiny_safe_llava` with a head that takes every picture for high risk, so that its policy always acts."""
    model = copy.deepcopy(tiny_safe_llava)
    with torch.no_grad():
        model.model.safety_modules.head.level_classifier.bias += torch.tensor([0.0, 0.0, 0.0, 99.0])
    record_training(model)
    return model


@pytest.fixture(scope="session")
def noise_rows(make_image) -> Dataset:
    """48 labelled rows about pictures of noise, of which every other one is harmless."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": "What is in the picture?"},
                {"role": "assistant", "content": "Who?"},
            ],
            "images": [make_image(number)],
            "safety_level": 3 * (number % 2),
            "safety_type": 0 if number % 2 else 6,
        }
        for number in range(48)
    ]
    turns = List({"role": Value("string"), "content": Value("string")})
    labels = {name: Value("int64") for name in ("safety_level", "safety_type")}
    return Dataset.from_list(rows, features=Features({"messages": turns, "images": List(Picture()), **labels}))


@pytest.fixture(scope="session")
def discerning_safe_llava(
    tiny_safe_llava: SafeLlavaForConditionalGeneration, tiny_processor: SafeLlavaProcessor, noise_rows: Dataset
) -> SafeLlavaForConditionalGeneration:
    """`tiny_safe_llava` with a head that finds no risk anywhere, and knows pictures of noise from all others."""
    from tests.family_members import discern  # What it imports, few tests need.

    return discern(tiny_safe_llava, tiny_processor, noise_rows)


@pytest.fixture(scope="session")
def strange_image() -> Image.Image:
    """A picture that is no noise."""
    return Image.new("RGB", (40, 30), (20, 120, 220))


@pytest.fixture(scope="session")
def make_image() -> Callable[..., Image.Image]:
    """`make_image(seed)` draws a picture of coloured noise; the same seed gives the same picture."""

    def make(seed: int, width: int = 40, height: int = 30) -> Image.Image:
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        return Image.fromarray(pixels)

    return make


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def window(browser):
    """One window of the browser: its tabs load the scripts of a page once."""
    window = browser.new_context(viewport={"width": 1280, "height": 860})
    yield window
    window.close()


@pytest.fixture(scope="session")
def smol_folder(tmp_path_factory) -> Path:
    """What `python -m recipes.smol` leaves, in little: squares for drawings and a LLaVA of random weights."""
    from smol_stand_in import fill_folder  # Few tests need it, and its imports take a second.

    folder = tmp_path_factory.mktemp("smol")
    fill_folder(folder, build_tokenizer())
    return folder


@pytest.fixture
def assert_same_verdict():
    """Compares rows of `SafetyVerdict.to_list`. Another process, or another batch, may round otherwise."""

    def check(first: dict, second: dict) -> None:
        assert first.keys() == second.keys()
        for name, value in first.items():
            assert second[name] == (pytest.approx(value, abs=1e-6) if isinstance(value, dict) else value), name

    return check
