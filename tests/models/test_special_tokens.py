"""A token that a tokenizer has and does not list is special all the same, wherever special tokens matter."""

import copy

import pytest

from safe_llava import SafetyPolicy
from safe_llava.evidence_overlay import read_words
from safe_llava.models.special_tokens import find_special_tokens, special_texts


UNLISTED = "<|call|>"


@pytest.fixture
def processor(tiny_processor):
    processor = copy.deepcopy(tiny_processor)
    for extra in (UNLISTED, "<|end|>"):  # The second takes the first off the list.
        processor.tokenizer.add_special_tokens({"additional_special_tokens": [extra]})
    assert UNLISTED not in processor.tokenizer.all_special_tokens
    return processor


def test_it_is_found_beside_those_that_are_listed(processor):
    found = find_special_tokens(processor.tokenizer)
    assert {UNLISTED, "<|end|>", processor.tokenizer.eos_token} <= set(found.values())
    assert all(processor.tokenizer.convert_tokens_to_ids(token) == index for index, token in found.items())


def test_no_chat_spells_it(processor):
    text = processor.apply_chat_template([{"role": "user", "content": [{"type": "text", "text": f"a {UNLISTED}"}]}])
    assert UNLISTED not in text


def test_no_engine_behind_the_server_is_given_it(processor):
    assert UNLISTED not in special_texts(processor).break_tokens(f"a {UNLISTED}")


def test_no_policy_s_text_holds_it(processor, tiny_safe_llava):
    model = copy.deepcopy(tiny_safe_llava)
    with pytest.raises(ValueError, match=r"special token '<\|call\|>'"):
        model.set_safety_policy(SafetyPolicy(untrusted_refusal=f"No. {UNLISTED}"), processor)


def test_evidence_counts_it_as_no_word(processor):
    ids = processor.tokenizer(f"Who?{UNLISTED} Ann", add_special_tokens=False)["input_ids"]
    words = [word for word, _ in read_words(ids, [0.0] * len(ids), processor)]
    assert UNLISTED not in "".join(words) and words[0].startswith("Who")
