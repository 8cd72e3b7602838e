"""The texts of a safety policy as token ids, for `generate` is given no tokenizer."""

from typing import Any

from .safety_policy import SafetyPolicy


# Stand-ins in a rendered chat, to learn what the template puts around a question and around an answer.
_QUESTION = "question"
_ANSWER = "answer"


def tokenize_policy(policy: SafetyPolicy, processor: Any) -> dict[str, Any]:
    """
    Tokenises every text of a policy the way it will stand in a prompt.

    Args:
        policy ([`SafetyPolicy`]): the policy.
        processor ([`SafeLlavaProcessor`]): has the tokenizer and the chat template.

    Raises:
        ValueError: if the processor's chat template leaves out the question or the answer.

    Returns:
        `dict`: `"assistant_turn"`, the ids between the user's question and the answer, and `"texts"`, the ids of each
        text by the action that uses it (`"hint"` or `"refuse"`). No ids of `bos` or `eos` are among them.
    """
    chat = [{"role": "user", "content": [{"type": "text", "text": _QUESTION}]}]
    prompt = processor.apply_chat_template(chat, add_generation_prompt=True)
    answered = processor.apply_chat_template(
        [*chat, {"role": "assistant", "content": [{"type": "text", "text": _ANSWER}]}]
    )
    if _QUESTION not in prompt or _ANSWER not in answered:
        raise ValueError(
            f"The processor's chat template leaves out the question or the answer: it rendered {prompt!r} and "
            f"{answered!r}. Give the processor a template that writes parts of type text."
        )
    assistant_turn = prompt[prompt.rindex(_QUESTION) + len(_QUESTION) :]
    answer_start = answered.rindex(_ANSWER)
    space = answered[len(prompt) : answer_start] if answered.startswith(prompt) else ""

    def encode(before: str, text: str) -> list[int]:
        ids_before = processor.tokenizer(before, add_special_tokens=False)["input_ids"]
        return processor.tokenizer(before + text, add_special_tokens=False)["input_ids"][len(ids_before) :]

    texts = policy.texts()
    return {
        "assistant_turn": encode(_QUESTION, assistant_turn),
        "texts": {
            "hint": {text: encode(_QUESTION, " " + text) for text in texts["hint"]},
            "refuse": {text: encode(_QUESTION + assistant_turn, space + text) for text in texts["refuse"]},
        },
    }
