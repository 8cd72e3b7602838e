"""A SafeLLaVA of some ten thousand weights, a processor with LLaVA-1.5's own chat template, and rows to train on."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from datasets import Dataset, Features, Image, List, Value
from PIL import Image as PILImage
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import CLIPVisionConfig, LlamaConfig, PreTrainedTokenizerFast
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from trl import SFTConfig

from safe_llava import SafeLlavaConfig, SafeLlavaForConditionalGeneration, SafeLlavaProcessor
from safe_llava.training import SafeSFTTrainer


LLAVA_CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] + ' ' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
# With more threads than free cores these tiny models are many times slower.
torch.set_num_threads(1)

SPECIAL_TOKENS = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
TEXTS = ["USER: \n What is shown ? Which colour ? ASSISTANT: A red square . A blue square . I cannot help ."] * 8


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=[*SPECIAL_TOKENS, *(f"<0x{byte:02X}>" for byte in range(256))],
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
    )


@pytest.fixture
def processor(tokenizer: PreTrainedTokenizerFast) -> SafeLlavaProcessor:
    size = {"height": 32, "width": 32}
    return SafeLlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=size),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        chat_template=LLAVA_CHAT_TEMPLATE,
        num_additional_image_tokens=4 + 1,
    )


@pytest.fixture
def model(tokenizer: PreTrainedTokenizerFast) -> SafeLlavaForConditionalGeneration:
    torch.manual_seed(0)
    config = SafeLlavaConfig(
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            pad_token_id=0,
        ),
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=32,
            patch_size=8,
        ),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        num_safety_tokens=4,
        num_safety_visual_tokens=4,
        safety_head_num_attention_heads=4,
    )
    return SafeLlavaForConditionalGeneration(config)


def make_row(colour: str = "red", answer: str | None = None, level: int = 0, risk_type: int = 6) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Which colour ?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": answer or f"A {colour} square ."}]},
        ],
        "images": [PILImage.new("RGB", (32, 32), colour)],
        "safety_level": level,
        "safety_type": risk_type,
    }


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Eight rows of unequal length; every third one is unlabelled."""
    rows = []
    for index in range(8):
        risky = index % 2
        answer = "I cannot help ." if risky else "A red square . " * (index + 1)
        rows.append(make_row("blue" if risky else "red", answer, 3 * risky, 4 if risky else 6))
        if index % 3 == 2:
            rows[-1].update(safety_level=-100, safety_type=-100)
    return rows


@pytest.fixture
def dataset(rows: list[dict[str, Any]]) -> Dataset:
    parts = List({"type": Value("string"), "text": Value("string")})
    features = Features(
        {
            "messages": List({"role": Value("string"), "content": parts}),
            "images": List(Image()),
            "safety_level": Value("int64"),
            "safety_type": Value("int64"),
        }
    )
    return Dataset.from_list(rows, features=features)


@pytest.fixture
def make_trainer(model, processor, dataset, tmp_path) -> Callable[..., SafeSFTTrainer]:
    """A trainer of the tiny model on the eight rows; keyword arguments go to `SFTConfig`."""

    def make(
        model=model, train_dataset=dataset, eval_dataset=None, peft_config=None, **changes: Any
    ) -> SafeSFTTrainer:
        arguments: dict[str, Any] = {
            "output_dir": str(tmp_path / "run"),
            "max_length": None,
            "per_device_train_batch_size": 2,
            "per_device_eval_batch_size": 3,
            "learning_rate": 1e-3,
            "lr_scheduler_type": "constant",
            "max_steps": 1,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "bf16": False,
            "gradient_checkpointing": False,
            "use_cpu": True,
            "disable_tqdm": True,
            **changes,
        }
        return SafeSFTTrainer(
            model,
            SFTConfig(**arguments),
            train_dataset,
            processor,
            eval_dataset=eval_dataset,
            peft_config=peft_config,
        )

    return make
