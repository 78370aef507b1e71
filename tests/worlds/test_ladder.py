"""Courses: who leaps right gets along, what can't be done isn't asked of the held-out ones, and chance is torch's."""

import torch
from torch import nn

from understudy.worlds.ladder import _feasible, _sides, ladder


class Knowing(nn.Module):
    """Leaps with the energy that lands in the middle: g^2 / (g - h)"""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(()))

    def forward(self, seen):
        g, h = _sides(seen)
        return self.w * torch.where(g > h, g.square() / (g - h).clamp(min=1e-6), 0.0)


def test_who_knows_the_physics_masters_all_that_can_be_done():
    assert ladder(0).validate(Knowing()) > 0.95
    assert ladder(0).validate(ladder(0).student()) < 0.1


def test_higher_than_a_leap_goes_nobody():
    x = torch.rand(500, 2)
    assert 0.2 < _feasible(x).double().mean() < 0.5
    x[:, 1] = 0.51 + 0.49 * x[:, 1]
    assert not _feasible(x).any()
    assert not ladder(0, tries=20).play(Knowing(), x, noise=2.0).reward.any()


def test_play_is_torchs_chance_alone():
    world = ladder(0)
    x, net, done = world.rows(0).x, world.student(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        done.append(world.play(net, x))
    assert all(torch.equal(done[0][k].nan_to_num(9), done[1][k].nan_to_num(9)) for k in done[0])
    assert not torch.equal(done[0].acted.nan_to_num(9), done[2].acted.nan_to_num(9))


def test_worth_is_what_an_action_brought_beyond_its_brothers():
    world = ladder(0)
    played = world.play(Knowing(), world.rows(3).x)
    first = played.acted[:, 0, 1].view(-1, world.tries)
    torch.testing.assert_close(first.sum(1), torch.zeros(len(first)), atol=1e-6, rtol=0)
    assert played.acted[:, 0].isfinite().all()
    assert played.acted[:, -1].isnan().any()
