"""Lets a model answer a dataset: greedy, in left-padded batches."""

from typing import Any

import torch
from datasets import Dataset
from tqdm import tqdm
from transformers import PreTrainedModel, ProcessorMixin


def chat_prompt(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Take the last answer off a row and put its pictures into the first turn, as chat templates want them."""
    turns = [{"role": m["role"], "content": [{"type": "text", "text": m["content"]}]} for m in row["messages"][:-1]]
    turns[0]["content"] = [{"type": "image"}] * len(row["images"]) + turns[0]["content"]
    return turns


@torch.no_grad()
def answer_dataset(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    dataset: Dataset,
    batch_size: int = 64,
    max_new_tokens: int = 32,
    system_prompt: str | None = None,
    **generate_kwargs: Any,
) -> list[dict[str, Any]]:
    """Answer the last question of every row.

    Args:
        model: A LLaVA, with or without a safety head.
        processor: Its processor.
        dataset: Rows with `messages` and `images`; the last message is the answer to compare with and is not shown.
        batch_size: Prompts in one `generate`.
        max_new_tokens: Longest answer, in tokens.
        system_prompt: What stands before the first turn of every chat.
        generate_kwargs: Passed on to `generate`, such as `safety_policy`.

    Returns:
        For each row, in order, `answer`, and the head's `level` and `type` (indices), `level_probs` and `type_probs`
        (lists); None without a head.
    """
    system = (
        [] if system_prompt is None else [{"role": "system", "content": [{"type": "text", "text": system_prompt}]}]
    )
    lengths = [sum(len(message["content"]) for message in messages) for messages in dataset["messages"]]
    order = sorted(range(len(dataset)), key=lengths.__getitem__)
    answers: list[dict[str, Any]] = [{}] * len(dataset)
    for start in tqdm(range(0, len(order), batch_size), desc="answer", leave=False):
        indices = order[start : start + batch_size]
        rows = [dataset[i] for i in indices]
        texts = [processor.apply_chat_template(system + chat_prompt(row), add_generation_prompt=True) for row in rows]
        images = [row["images"] for row in rows]
        inputs = processor(
            images=images if any(images) else None, text=texts, padding=True, padding_side="left", return_tensors="pt"
        ).to(model.device)
        output = model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            return_dict_in_generate=True,
            **generate_kwargs,
        )
        new_tokens = output.sequences[:, inputs["input_ids"].shape[1] :]
        replies = processor.batch_decode(new_tokens, skip_special_tokens=True)
        verdict = output.get("safety_verdict")
        for place, (i, reply) in enumerate(zip(indices, replies)):
            answers[i] = {"answer": reply.strip()}
            for name in ("level", "type", "level_probs", "type_probs"):
                answers[i][name] = getattr(verdict, name)[place].tolist() if verdict else None
    return answers
