"""Fog: what is clear, what is hidden, and that only the light changes."""

import pytest
import torch

from understudy.core.errors import Sealed
from understudy.worlds.foggy import fogged, foggy
from understudy.worlds.scenes import CLASSES


def test_the_target_shows_no_labels_and_the_source_all_of_them():
    world = foggy(0, small=True)
    for batch in (world.rows(3), *world.sweep()):
        assert (batch.y["labels"] == -1).all() and batch.y["boxes"].isnan().all()
    clear = world.rows(3, "source")
    assert (clear.y["labels"] >= 0).all() and (clear.y["labels"] < CLASSES).any() and clear.y["boxes"].isfinite().all()
    assert torch.cat([b.row for b in world.sweep()]).tolist() == list(range(world.size))
    with pytest.raises(Sealed):
        world.score(world.student())


def test_thick_fog_takes_contrast_and_none_takes_nothing():
    torch.manual_seed(0)
    x = torch.rand(64, 1, 48, 48)
    torch.testing.assert_close(fogged(x, torch.zeros(64)), x)
    thin, thick = (fogged(x, torch.full((64,), t)).flatten(1).std(1) for t in (0.2, 1.0))
    assert (thick < thin).all() and (thin < x.flatten(1).std(1)).all()
