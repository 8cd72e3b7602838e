"""A projector that is fitted to words points each cell at the name of what is drawn there."""

import pytest
import torch
from torch import nn

from recipes.smol.drawing_views import BACKGROUND, UNSURE
from recipes.smol.fit_projector import BACKGROUND_SHARE, Cells, find_named, fit_projector, read_cells


NAMES, WIDTH, WORDS = 12, 64, 32


class SceneTower(nn.Module):
    """Sees the pixels themselves, a cell for each."""

    def forward(self, pixel_values):
        self.last_hidden_state = pixel_values.flatten(2).transpose(1, 2)
        return self


@pytest.fixture
def words() -> torch.Tensor:
    # As word embeddings are: far from the origin, close to each other.
    return 0.1 * torch.randn(NAMES, WORDS, generator=torch.Generator().manual_seed(0)) + 0.3


@pytest.fixture
def cells() -> Cells:
    generator = torch.Generator().manual_seed(1)
    prototypes = torch.randn(NAMES + 1, WIDTH, generator=generator)
    names = torch.randint(-1, NAMES, (600,), generator=generator)
    features = prototypes[names] + 0.1 * torch.randn(600, WIDTH, generator=generator)
    return Cells(features.half(), names)


@pytest.fixture
def fitted(cells, words) -> nn.Module:
    torch.manual_seed(0)
    projector = nn.Sequential(nn.Linear(WIDTH, 64), nn.GELU(), nn.Linear(64, WORDS))
    fit_projector(projector, cells, words, steps=400)
    return projector


def test_cells_point_at_their_own_name(fitted, cells, words):
    named = find_named(fitted, cells, words)
    assert sum(named) / len(named) > 0.95


def test_what_shows_no_drawing_points_at_no_name(fitted, cells, words):
    with torch.no_grad():
        distance = (fitted(cells.features.float()) - words.mean(0)).norm(dim=-1)
    empty = cells.names == BACKGROUND
    assert distance[empty].mean() < 0.7 * distance[~empty].mean()


def test_only_cells_with_a_drawing_are_asked_for_a_name(fitted, cells, words):
    assert len(find_named(fitted, cells, words)) == int((cells.names != BACKGROUND).sum())


def test_cells_that_a_drawing_covers_in_part_are_left_out_and_all_others_with_one_kept():
    torch.manual_seed(0)
    names = torch.full((40, 7, 7), BACKGROUND)
    names[:, 0], names[:, 1] = 3, UNSURE
    views = [{"scene": torch.rand(2, 7, 7), "cells": each} for each in names]
    found = read_cells(SceneTower(), views)
    assert (found.names == UNSURE).sum() == 0 and (found.names == 3).sum() == 40 * 7
    kept = (found.names == BACKGROUND).sum().item() / (40 * 35)
    assert kept == pytest.approx(BACKGROUND_SHARE, abs=0.05)
    assert found.features.shape == (len(found.names), 2)
