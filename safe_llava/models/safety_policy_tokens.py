"""A policy's texts as token ids, for `generate` is given no tokenizer: made, and checked before they are used."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from transformers import PreTrainedConfig, ProcessorMixin

from .safety_policy import SafetyPolicy
from .special_tokens import find_special_tokens


# Stand-ins in a rendered chat, to learn what the template puts around a question and around an answer.
_QUESTION = "question"
_ANSWER = "answer"
_MEND = (
    "Attach the policy anew and save the model: load it with `from_pretrained(..., safety_policy=None, "
    "safety_policy_token_ids=None)`, then `model.set_safety_policy(policy, processor)`."
)


def tokenize_policy(policy: SafetyPolicy, processor: ProcessorMixin) -> dict[str, Any]:
    """
    Tokenises every text of a policy the way it will stand in a prompt.

    Args:
        policy ([`SafetyPolicy`]): the policy.
        processor ([`SafeLlavaProcessor`]): has the tokenizer and the chat template.

    Raises:
        ValueError: if the processor's chat template leaves out the question or the answer, or if a text becomes no
            token, a special token, or nothing but unknown tokens; with the path of the field.

    Returns:
        `dict`: `"assistant_turn"`, the ids between the user's question and the answer; `"assistant_start"`, those of
        them that stand there whatever the answer begins with; `"user_start"`, the same between an answer and the next
        question; `"texts"`, the ids of each text by the action that uses it (`"hint"` or `"refuse"`); and `"digest"`,
        by which a change of any of them is noticed. No special ids are among those of the texts.
    """
    prompt, answered, continued = (_render(processor, turns) for turns in (1, 2, 3))
    if _QUESTION not in prompt or _ANSWER not in answered:
        raise ValueError(
            f"The processor's chat template leaves out the question or the answer: it rendered {prompt!r} and "
            f"{answered!r}. Give the processor a template that writes parts of type text."
        )
    assistant_turn = prompt[prompt.rindex(_QUESTION) + len(_QUESTION) :]
    answer_start = answered.rindex(_ANSWER)
    space = answered[len(prompt) : answer_start] if answered.startswith(prompt) else ""
    after_question = answered[answered.index(_QUESTION) + len(_QUESTION) : answer_start]
    after_answer = continued[continued.index(_ANSWER) + len(_ANSWER) : continued.rindex(_QUESTION)]

    def encode(before: str, text: str) -> list[int]:
        ids_before = processor.tokenizer(before, add_special_tokens=False)["input_ids"]
        return processor.tokenizer(before + text, add_special_tokens=False)["input_ids"][len(ids_before) :]

    def encode_start(before: str, between: str, nexts: tuple[str, ...]) -> list[int]:
        return _common_start([encode(before, between), *(encode(before, between + text) for text in nexts)])

    texts: dict[str, dict[str, list[int]]] = {"hint": {}, "refuse": {}}
    for path, action, text in policy.named_texts():
        before, lead = (_QUESTION, " ") if action == "hint" else (_QUESTION + assistant_turn, space)
        texts[action][text] = encode(before, lead + text)
        _check_text(path, text, texts[action][text], processor)
    token_ids = {
        "assistant_turn": encode(_QUESTION, assistant_turn),
        "assistant_start": encode_start(_QUESTION, after_question.rstrip(), (" A", " the", "1", "\n")),
        "user_start": encode_start(_ANSWER, after_answer.rstrip(), (" A", " the", "1", "\n")),
        "texts": texts,
    }
    return {**token_ids, "digest": _digest(token_ids)}


def check_policy_tokens(policy: SafetyPolicy, token_ids: Any, config: PreTrainedConfig) -> None:
    """
    Raises a `ValueError` unless the token ids that are stored with a model are those that were made of its policy.

    Args:
        policy ([`SafetyPolicy`]): the stored policy.
        token_ids (`dict`): what [`tokenize_policy`] gave, as the config holds it.
        config ([`SafeLlavaConfig`]): knows the vocabulary and the special tokens.
    """
    if not isinstance(token_ids, dict) or not isinstance(token_ids.get("texts"), dict):
        raise ValueError(f"A safety policy is stored without the token ids of its texts. {_MEND}")
    kept = {name: value for name, value in token_ids.items() if name != "digest"}
    vocab_size = config.get_text_config().vocab_size
    for path, action, text in policy.named_texts():
        ids = (token_ids["texts"].get(action) or {}).get(text)
        if not _is_ids(ids, vocab_size) or config.image_token_id in (ids or []):
            raise ValueError(
                f"The token ids that are stored for the text `{path}` of the safety policy are {ids!r:.60}: there "
                f"must be some, each below {vocab_size} and none an image placeholder. {_MEND}"
            )
    turns = [token_ids.get(name) for name in ("assistant_turn", "assistant_start", "user_start")]
    if token_ids.get("digest") != _digest(kept) or not all(_is_ids(ids, vocab_size, 0) for ids in turns):
        raise ValueError(
            "The token ids that are stored for the safety policy are not those that were made of its texts: they "
            f"were changed, or an older version stored them. {_MEND}"
        )


def compare_policy_tokens(policy: SafetyPolicy, token_ids: dict[str, Any], processor: ProcessorMixin) -> None:
    """Raises a `ValueError` unless a processor makes the stored token ids of the policy's texts."""
    made = tokenize_policy(policy, processor)
    if differing := [name for name, ids in _flatten(made) if dict(_flatten(token_ids)).get(name) != ids]:
        raise ValueError(
            f"The token ids that are stored for the safety policy are not those that this processor makes of "
            f"{differing[0]!r}: its tokenizer or chat template is another one. Take the processor of the checkpoint, "
            "or attach the policy with yours: `model.set_safety_policy(model.safety_policy, processor)`."
        )


def join_policy_tokens(token_ids: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """Token ids of a policy, with those of the texts of another policy of the same processor."""
    texts = {action: {**others["texts"].get(action, {}), **known} for action, known in token_ids["texts"].items()}
    joined = {**{name: value for name, value in token_ids.items() if name != "digest"}, "texts": texts}
    return {**joined, "digest": _digest(joined)}


def _render(processor: ProcessorMixin, num_turns: int) -> str:
    turns = [("user", _QUESTION), ("assistant", _ANSWER), ("user", _QUESTION)][:num_turns]
    chat = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns]
    return processor.apply_chat_template(chat, add_generation_prompt=num_turns == 1)


def _check_text(path: str, text: str, ids: list[int], processor: ProcessorMixin) -> None:
    tokenizer = processor.tokenizer
    special = {*find_special_tokens(tokenizer), processor.image_token_id} - {tokenizer.unk_token_id}
    if found := [token_id for token_id in ids if token_id in special]:
        problem = f"it becomes the special token {tokenizer.convert_ids_to_tokens(found[0])!r}"
    elif not ids:
        problem = "it becomes no token"
    elif not tokenizer.decode(ids, skip_special_tokens=True).strip():
        unknown = tokenizer.unk_token_id in ids
        problem = "it becomes nothing but unknown tokens" if unknown else "it becomes tokens that show nothing"
    else:
        return
    raise ValueError(f"Safety policy: `{path}` cannot be given to this model, for {problem}: {text!r:.80}.")


def _common_start(rows: list[list[int]]) -> list[int]:
    length = next((i for i, ids in enumerate(zip(*rows)) if len(set(ids)) > 1), min(map(len, rows)))
    return rows[0][:length]


def _is_ids(value: Any, vocab_size: int, min_length: int = 1) -> bool:
    is_list = isinstance(value, list) and len(value) >= min_length
    return is_list and all(isinstance(i, int) and not isinstance(i, bool) and 0 <= i < vocab_size for i in value)


def _flatten(token_ids: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((name, ids) for name, ids in token_ids.items() if name not in ("texts", "digest"))
    for texts in token_ids["texts"].values():
        yield from texts.items()


def _digest(token_ids: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(token_ids, sort_keys=True).encode()).hexdigest()[:32]
