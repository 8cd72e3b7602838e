"""Rows with several images: each image assessed alone with the row's question, and the gravest verdict found."""

from dataclasses import dataclass, replace

import torch

from .own_text import find_repeated_text
from .safety_head import HeadInputs, SafetyHead, is_decided
from .safety_labels import SAFE_TYPE_ID, SAFETY_LEVELS


@dataclass
class SeparateAssessments:
    """
    What the head said of rows with several images: of each row as a whole, and of each image alone with the row's
    question. All images of a row share one softmax, in which a risky one drowns among enough clean ones.

    Args:
        rows (`torch.LongTensor` of shape `(num_assessments,)`): the row of the batch that each belongs to.
        images (`torch.LongTensor` of shape `(num_assessments,)`): the image that each read alone, -1 for all of a row.
        level_logits (`torch.FloatTensor` of shape `(num_assessments, 4)`): scores of the risk levels.
        type_logits (`torch.FloatTensor` of shape `(num_assessments, 7)`): scores of the risk types.
    """

    rows: torch.Tensor
    images: torch.Tensor
    level_logits: torch.Tensor
    type_logits: torch.Tensor

    def find_gravest(self) -> torch.Tensor:
        """
        Which assessment decides for each row that has some, a bool tensor of shape `(num_assessments,)`: one that
        says nothing, else the one of the highest level among those that find a risk by level and type, or among all
        where none does; of several the one that gives "none" the least probability. Independent of any policy.
        """
        level, is_safe = self.level_logits.argmax(dim=-1), self.type_logits.argmax(dim=-1) == SAFE_TYPE_ID
        found = ((level > 0) & ~is_safe).float() * len(SAFETY_LEVELS)
        risk = 1 - self.level_logits.float().softmax(dim=-1)[:, 0]
        # Less than a level apart, whatever the probabilities.
        gravity = (found + level + 0.5 * risk).where(is_decided(self.level_logits, self.type_logits), torch.inf)
        by_row: dict[int, int] = {}
        gravities = gravity.tolist()
        for index, row in enumerate(self.rows.tolist()):
            if row not in by_row or gravities[index] > gravities[by_row[row]]:
                by_row[row] = index
        decides = torch.zeros_like(self.rows, dtype=torch.bool)
        decides[list(by_row.values())] = True
        return decides

    def divided(self, level: float, type: float) -> "SeparateAssessments":
        """A copy with the logits of levels and types divided by temperatures."""
        return replace(self, level_logits=self.level_logits / level, type_logits=self.type_logits / type)

    def to_rows(self) -> list[tuple[int, list[float], list[float]]]:
        """For each assessment its row and the probabilities of its levels and of its types."""
        level_probs, type_probs = (logits.softmax(dim=-1).tolist() for logits in (self.level_logits, self.type_logits))
        return list(zip(self.rows.tolist(), level_probs, type_probs))


def assess_separately(
    head: SafetyHead,
    inputs: HeadInputs,
    tile_images: torch.Tensor,
    own_text: torch.Tensor,
    level_logits: torch.Tensor,
    type_logits: torch.Tensor,
) -> tuple[SeparateAssessments, HeadInputs, torch.Tensor, torch.Tensor]:
    """
    Assesses each image of rows with several alone as well.

    Args:
        head ([`SafetyHead`]): the head.
        inputs ([`HeadInputs`]): what the head read.
        tile_images (`torch.LongTensor` of shape `(num_tiles,)`):
            The image that each tile of these is of: its number, where images are not cut.
        own_text (`torch.BoolTensor` of shape `(batch_size, sequence_length)`): the text of one image alone.
        level_logits, type_logits (`torch.FloatTensor`): what the head made of each row as a whole.

    Returns:
        All assessments of these rows, and of the gravest of each row, and the other rows as they were: what the
        head read for them, with -1 as the row of tiles that it did not read, and their logits.
    """
    tile_rows, num_images = inputs.image_rows, int(tile_images[-1]) + 1
    image_rows = tile_rows.new_zeros(num_images).scatter(0, tile_images, tile_rows)
    several = image_rows.bincount(minlength=len(level_logits)) > 1
    rows, images = several.nonzero().squeeze(1), several[image_rows].nonzero().squeeze(1)
    of_images = head.assess_each(*inputs._replace(text_mask=own_text), tile_images, images)
    separate = SeparateAssessments(
        rows=torch.cat([rows, image_rows[images]]),
        images=torch.cat([torch.full_like(rows, -1), images]),
        level_logits=torch.cat([level_logits[rows], of_images[0]]),
        type_logits=torch.cat([type_logits[rows], of_images[1]]),
    )
    decides = separate.find_gravest()
    rows = separate.rows[decides]
    alone = torch.full_like(several, -1, dtype=torch.long).index_copy(0, rows, separate.images[decides])
    is_read = (alone[tile_rows] < 0) | (alone[tile_rows] == tile_images)
    read = inputs._replace(
        text_mask=torch.where(alone[:, None] < 0, inputs.text_mask, own_text),
        image_rows=tile_rows.where(is_read, -1),
    )
    level_logits = level_logits.index_copy(0, rows, separate.level_logits[decides])
    type_logits = type_logits.index_copy(0, rows, separate.type_logits[decides])
    return separate, read, level_logits, type_logits


def find_own_text(input_ids: torch.Tensor, placeholders: torch.Tensor, text_mask: torch.Tensor) -> torch.Tensor:
    """
    The text that each row of a batch would have with one of its images: without what a template writes between images,
    such as line breaks, of which many would drown the question. Of shape `(batch_size, sequence_length)`.

    Args:
        input_ids (`torch.LongTensor` of shape `(batch_size, sequence_length)`): the prompts.
        placeholders, text_mask (`torch.BoolTensor`): where images stand in them, and where text does.
    """
    own_text = text_mask.clone()
    for row, prompt in enumerate(zip(input_ids.tolist(), placeholders.tolist(), text_mask.tolist())):
        own_text[row, find_repeated_text(*prompt)] = False
    return own_text
