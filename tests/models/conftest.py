"""A model whose verdict is chosen by the test, and prompts for it."""

import copy

import pytest
import torch

from safe_llava.models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from safe_llava.models.safety_trust import record_training


@pytest.fixture
def prepare(tiny_processor, make_image):
    """Chats of (number of images, question) as one left-padded batch."""

    def prepare(*turns: tuple[int, str]):
        chats = [
            [
                {
                    "role": "user",
                    "content": [
                        *[{"type": "image", "image": make_image(seed)} for seed in range(images)],
                        {"type": "text", "text": question},
                    ],
                }
            ]
            for images, question in turns
        ]
        return tiny_processor.apply_chat_template(
            chats,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        )

    return prepare


@pytest.fixture
def inputs(prepare):
    return prepare((1, "What is this picture?"))


@pytest.fixture
def model_that_finds(tiny_safe_llava):
    """A copy of the tiny model with a head that always says the same."""
    model = copy.deepcopy(tiny_safe_llava)

    def build(level: str, risk_type: str):
        head = model.model.safety_modules.head
        targets = ((head.level_classifier, SAFETY_LEVELS, level), (head.type_classifier, SAFETY_TYPES, risk_type))
        with torch.no_grad():
            for classifier, names, name in targets:
                classifier.weight.zero_()
                classifier.bias.zero_()
                classifier.bias[names.index(name)] = 9.0
        record_training(model)
        return model

    return build


@pytest.fixture
def make_mixed_batch(make_image):
    """`make_mixed_batch(processor)`: a row with one image, a row with none, a row with two."""

    def make(processor):
        rows = (
            ([0], "What is this picture?"),
            ([], "Who?"),
            ([1, 2], "What is in the first picture and who is in the second?"),
        )
        chats = []
        for seeds, question in rows:
            images = [{"type": "image", "image": make_image(seed)} for seed in seeds]
            chats.append([{"role": "user", "content": [*images, {"type": "text", "text": question}]}])
        return processor.apply_chat_template(
            chats,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        )

    return make
