"""Wav2Small: a teacher's feelings about voices, as concordance."""

import pytest
import torch
from torch import nn

from understudy.core.batch import Batch
from understudy.core.registry import get
from understudy.core.world import recast
from understudy.models.wav2small import Wav2Small
from understudy.parts.concordance import ccc
from understudy.worlds.voices import voices


def test_the_network_has_as_many_weights_as_its_layers_on_the_card_add_up_to():
    """Convolutions 1 x 13 x 9 + 6 x 13^2 x 9, their norms 7 x 26, the pooling 2 x (13^2 + 13), the head 338 x 3 + 3."""
    net = Wav2Small()
    assert sum(p.numel() for p in net.parameters()) == 117 + 9126 + 182 + 364 + 1017
    assert net.ear.basis.numel() == 2 * 33 * 64 and net.head.in_features == 338
    loud = torch.randn(2, 1600)
    assert torch.allclose(net.eval()(loud), net(5 * loud + 2), atol=1e-4)  # each waveform is standardised first


def test_concordance_is_what_lin_says_it_is():
    """A shift or a scale costs, where Pearson's correlation stays 1: of (1, 2, 3) with itself + 1: 2 s / (2 s + 1), s = 2 / 3."""
    a = torch.tensor([[1.0], [2.0], [3.0]])
    assert ccc(a, a).item() == pytest.approx(1)
    assert ccc(a, a + 1).item() == pytest.approx((4 / 3) / (4 / 3 + 1))
    assert ccc(a, 2 * a - 2).item() == pytest.approx(2 * 4 / 3 / (2 / 3 + 8 / 3))
    assert ccc(a, -a + 4).item() == pytest.approx(-1)


def test_mixtures_are_asked_of_the_teacher_and_no_human_is():
    """Every row is c x_i + (1 - c) x_j of two rows; a mixture has no label, and labels don't matter."""
    world = voices(0, small=True)
    run = type("Run", (), {"rows": lambda self: world.rows(0), "world": world})()
    mixed, plain = (get("wav2small")(mix=m).source(run) for m in (1.0, 0.0))
    x = world.rows(0).x
    assert torch.equal(plain.x, x) and plain.y.isfinite().all() and mixed.y.isnan().all()
    both = torch.stack([torch.stack([a, b], 1) for a in x for b in x]).double()
    for row in mixed.x.double():
        c = torch.linalg.lstsq(both, row.expand(len(both), -1)[..., None]).solution
        assert ((both @ c)[..., 0] - row).square().sum(1).min() < 1e-6


def test_the_loss_is_one_minus_the_mean_concordance():
    world = voices(0, small=True)
    run = {"student": nn.Linear(4, 3), "teacher": nn.Linear(4, 3)}
    x = torch.randn(6, 4)
    (term,) = get("wav2small")().loss(run, Batch(x=x)).values()
    s, u = run["student"](x), run["teacher"](x)
    by_hand = [2 * torch.cov(torch.stack([a, b]), correction=0)[0, 1]
               / (a.var(correction=0) + b.var(correction=0) + (a.mean() - b.mean()) ** 2) for a, b in zip(s.T, u.T)]  # fmt: skip
    assert term.item() == pytest.approx(1 - sum(by_hand).item() / 3, rel=1e-5)
    assert recast(world, batch=1).rows(0).x.shape == (1, 512)
