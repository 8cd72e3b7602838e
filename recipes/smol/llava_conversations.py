"""Conversations that make a LLaVA of its parts: of each scene several questions, for the image costs the most."""

import random
from collections.abc import Sequence

from datasets import Dataset

from safe_llava.smol.drawings import Drawings
from safe_llava.smol.world_dataset import draw_dataset
from safe_llava.smol.world_mixes import MIXES
from safe_llava.smol.world_rows import Row, RowSampler


MORE_QUESTIONS = 3
STAGE = "base"


def build_conversations(drawings: Drawings, num_rows: int, seed: int) -> Dataset:
    """
    Draws rows of the mix "base", each followed by up to three more questions about its scene that the scene answers.

    Args:
        drawings ([`Drawings`]): those of a split.
        num_rows (`int`): how many scenes.
        seed (`int`): the same arguments give the same rows.

    Returns:
        [`~datasets.Dataset`] with `messages` of several turns, and `images`.
    """
    rng = random.Random(f"conversations/{drawings.split}/{seed}")
    sampler = RowSampler(drawings, STAGE, rng)
    kinds = rng.choices(list(MIXES[STAGE]), list(MIXES[STAGE].values()), k=num_rows)
    rows, messages = [], []
    for kind in kinds:
        row = sampler.draw(kind)
        rows.append(row)
        turns = [row, *_more_about(row, sampler)]
        rng.shuffle(turns)
        messages.append([message for turn in turns for message in turn.messages])
    drawn = draw_dataset(rows).remove_columns("messages")
    return drawn.add_column("messages", messages).select_columns(["messages", "images"])


def _more_about(row: Row, sampler: RowSampler) -> Sequence[Row]:
    """Other questions about the scene, no two on the same topic."""
    if row.scene is None or row.kind.startswith(("written", "text")):
        return []
    found = {row.question.topic: row}
    for _ in range(2 * MORE_QUESTIONS):
        more = sampler.complete(sampler.exact_row("harmless", row.scene))
        found.setdefault(more.question.topic, more)
    return [each for each in found.values() if each is not row][:MORE_QUESTIONS]
