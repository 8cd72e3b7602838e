"""Phase 2 of the miniature's pre-training: projector and language model learn to answer from the frozen tower."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from tqdm import tqdm
from transformers import LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerBase

from safe_llava.miniature.conversations import Conversation
from safe_llava.miniature.scenes import COLORS, SHAPES


IGNORED = -100
NO_WORD = -1
BUCKET_BATCHES = 50
TEMPERATURE = 0.07
ALIGNMENT_WEIGHT = 0.2


@dataclass
class Row:
    """A tokenized conversation: its ids with expanded image placeholders, its labels, and its scenes' numbers."""

    input_ids: list[int]
    labels: list[int]
    scenes: list[int]


def tokenize(conversations: list[Conversation], processor: LlavaProcessor, image_tokens: int) -> list[Row]:
    """Render every conversation by the chat template; only what the assistant says is a label."""
    tokenizer, rows, scene_number = processor.tokenizer, [], 0
    for conversation in tqdm(conversations, desc="tokenize", mininterval=5):
        messages = [
            {"role": m["role"], "content": [{"type": "text", "text": m["content"]}]} for m in conversation.messages
        ]
        messages[0]["content"] = [{"type": "image"}] * len(conversation.scenes) + messages[0]["content"]
        encoded = tokenizer.apply_chat_template(
            messages, chat_template=processor.chat_template, return_dict=True, return_assistant_tokens_mask=True
        )
        input_ids, labels = [tokenizer.bos_token_id], [IGNORED]
        for token, spoken in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True):
            copies = image_tokens if token == tokenizer.image_token_id else 1
            input_ids += [token] * copies
            labels += [token if spoken else IGNORED] * copies
        scenes = list(range(scene_number, scene_number + len(conversation.scenes)))
        scene_number += len(scenes)
        rows.append(Row(input_ids, labels, scenes))
    return rows


def batches(rows: list[Row], batch_size: int) -> Iterator[list[Row]]:
    """Give batches of rows of similar length, without end."""
    while True:
        order = random.sample(rows, len(rows))
        for start in range(0, len(order), batch_size * BUCKET_BATCHES):
            bucket = sorted(order[start : start + batch_size * BUCKET_BATCHES], key=lambda row: len(row.input_ids))
            chunks = [bucket[i : i + batch_size] for i in range(0, len(bucket), batch_size)]
            yield from random.sample(chunks, len(chunks))


class WordAlignment:
    """
    Pulls each patch, as the language model gets it, towards the words for its shape and its color.

    This plays the part of LLaVA's feature-alignment stage: looking a word up among patches becomes easy to learn.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): gives the words' ids.
        labels (`torch.LongTensor` of shape `(scenes, targets, patches)`): of all scenes, see [`patch_labels`].
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, labels: torch.Tensor):
        self.words = [torch.tensor([tokenizer.encode(f" {word}")[-1] for word in words]) for words in (SHAPES, COLORS)]
        self.labels = labels[:, : len(self.words)] - 1  # 0 is none

    def loss(self, model: LlavaForConditionalGeneration, images: torch.Tensor, scenes: list[int]) -> torch.Tensor:
        embeddings = nn.functional.normalize(model.get_input_embeddings().weight, dim=-1)
        images = nn.functional.normalize(images, dim=-1)
        losses = [
            nn.functional.cross_entropy(
                (images @ embeddings[words].T / TEMPERATURE).flatten(0, 1),
                self.labels[scenes, i].flatten(),
                ignore_index=NO_WORD,
                reduction="sum",
            )
            for i, words in enumerate(self.words)
        ]
        return sum(losses) / (self.labels[scenes] != NO_WORD).sum().clamp(min=1)


def answer_loss(
    model: LlavaForConditionalGeneration, batch: list[Row], features: torch.Tensor, alignment: WordAlignment
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of the answers, and the alignment loss; the features are (scenes, patches, hidden)."""
    width = max(len(row.input_ids) for row in batch)
    pad = model.config.text_config.pad_token_id
    input_ids = torch.tensor([row.input_ids + [pad] * (width - len(row.input_ids)) for row in batch])
    labels = torch.tensor([row.labels + [IGNORED] * (width - len(row.labels)) for row in batch])[:, 1:]
    embeddings = model.get_input_embeddings()(input_ids)
    scenes = [i for row in batch for i in row.scenes]
    images = model.model.multi_modal_projector(features[scenes].float())
    embeddings = embeddings.masked_scatter((input_ids == model.config.image_token_id)[..., None], images)
    hidden = model.model.language_model(inputs_embeds=embeddings, use_cache=False).last_hidden_state[:, :-1]
    spoken = labels != IGNORED
    answers = nn.functional.cross_entropy(model.lm_head(hidden[spoken]), labels[spoken])
    return answers, alignment.loss(model, images, scenes)


def train_language_model(
    model: LlavaForConditionalGeneration,
    rows: list[Row],
    features: torch.Tensor,
    alignment: WordAlignment,
    steps: int,
    batch_size: int,
    learning_rate: float,
) -> None:
    """Train projector and language model in place; the tower does not run."""
    parameters = [
        *model.model.multi_modal_projector.parameters(),
        *model.model.language_model.parameters(),
        *model.lm_head.parameters(),
    ]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
    model.train()
    source = batches(rows, batch_size)
    for step in (bar := tqdm(range(steps), desc="language model", mininterval=5)):
        loss, aligned = answer_loss(model, next(source), features, alignment)
        optimizer.zero_grad()
        (loss + ALIGNMENT_WEIGHT * aligned).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            bar.set_postfix(loss=f"{loss.item():.4f}", alignment=f"{aligned.item():.3f}")
    model.eval()
