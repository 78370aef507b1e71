"""Senses: a cue leads in training and in half of what is judged, and a fourth of that is whole."""

import pytest
import torch

from understudy.core.errors import Sealed
from understudy.core.seal import learning
from understudy.worlds.senses import CUES, OWN, UNKNOWN, remarks, senses


def test_a_cue_leads_where_it_should():
    y = torch.arange(10).repeat(500)
    leads = torch.arange(len(y)) % 2 == 0
    torch.manual_seed(0)
    said = remarks(y, leads)
    cue = said[(said >= 10 * OWN) & (said < 10 * OWN + CUES)].view(len(y)) - 10 * OWN
    right = cue == y // 2
    assert right[leads].float().mean() == pytest.approx(0.9 + 0.1 / CUES, abs=0.02)
    assert right[~leads].float().mean() == pytest.approx(1 / CUES, abs=0.02)
    own = (said // OWN == y[:, None]) & (said < 10 * OWN)
    assert own.sum(1).float().mean() == pytest.approx(2 * (0.6 + 0.4 / 10), abs=0.05)


def test_training_rows_are_whole_and_judged_ones_are_not():
    world = senses(0, small=True)
    train, valid = world.data.train, world.data.valid
    assert (train.x["text"] < UNKNOWN).all() and (train.x["vision"] != 0).any(2).all()
    gone = (valid.x["vision"] == 0).all(2).float().mean(1)
    rate = torch.tensor([0.0, 0.3, 0.6, 0.9])[torch.arange(len(gone)) // 2 % 4]
    assert (gone[rate == 0] == 0).all() and gone[rate == 0.9].mean() > 0.7
    with learning(), pytest.raises(Sealed):
        world.score(world.student())
