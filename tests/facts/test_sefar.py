"""SeFAR: how an answer is trusted, what runs backwards, every term by hand, its average."""

import math

import pytest
import torch

from facts.given import terms
from understudy.core.batch import Batch
from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.methods.semi import sefar as its
from understudy.worlds.clips import clips


def test_trust_by_hand(double):
    p, d = torch.tensor([1.0, 0.6, 0.6]), torch.tensor([0.0, 0.1, 0.5])
    sigmoid = lambda z: 1 / (1 + math.exp(-z))
    want = [1.0] + [2 * sigmoid(math.exp(0.6) - math.e) * 2 * (sigmoid(1 / (20 * s)) - 0.5) for s in (0.1, 0.5)]
    assert its.trust(p, d).tolist() == pytest.approx(want, rel=1e-6)


def test_two_levels_and_only_the_frames_in_a_row_run_backwards():
    x = torch.arange(8).view(1, 1, 8, 1, 1)
    assert its.levels(x).flatten().tolist() == [0, 2, 4, 6, 2, 3, 4, 5]
    assert its.levels(x, backwards=True).flatten().tolist() == [0, 2, 4, 6, 5, 4, 3, 2]
    assert its.levels(x[:, :, :5]).flatten().tolist() == [0, 2, 4, 1, 2]


def test_by_hand(double):
    """One labelled clip and two others; the student says of them, of both strong views and of both mixes what is given."""
    s, u, y = torch.randn(5, 3), torch.randn(4, 3), torch.tensor([1, -1, -1])
    batch = Batch(x=torch.randn(3, 1, 8, 4, 4), y=y)
    p = u.softmax(1).view(2, 2, 3)
    q, half = p.mean(0), (p[0] - p[1]) / 2
    d, top = half.square().sum(1).sqrt(), q.amax(1)
    got = terms(get("sefar")(times=2, threshold=0.0, weight=4.0), clips(0, small=True), batch, 24, student=s, teacher=u)
    each = [-s[1 + i].log_softmax(0)[q[i].argmax()] * its.trust(top, d)[i] for i in range(2)]
    assert got["hard"].item() == pytest.approx(-s[0].log_softmax(0)[1].item())
    assert got["pseudo"].item() == pytest.approx(4 * sum(each).item() / 2)
    plain = terms(
        get("sefar")(times=2, threshold=top.max().item(), regulate="all"), clips(0, small=True), batch, 24, student=s, teacher=u
    )
    k = int(top.argmax())
    assert plain["pseudo"].item() == pytest.approx(-s[1 + k].log_softmax(0)[q[k].argmax()].item() / 2)


def test_the_target_of_a_mix_is_mixed_by_the_tubes_share(double, monkeypatch):
    mask = torch.ones(2, 4, 4, dtype=torch.bool)
    mask[:, :1] = False
    monkeypatch.setattr(its, "cut", lambda *_: (mask, torch.full((2,), 0.75)))
    s, u = torch.randn(5, 3), torch.randn(4, 3)
    batch = Batch(x=torch.randn(3, 1, 8, 4, 4), y=torch.tensor([1, -1, -1]))
    got = terms(get("sefar")(times=2), clips(0, small=True), batch, 24, student=s, teacher=u)
    q = u.softmax(1).view(2, 2, 3).mean(0)
    off = s[3:].softmax(1) - torch.stack([0.75 * q[0] + 0.25 * q[1], 0.75 * q[1] + 0.25 * q[0]])
    assert got["tube"].item() == pytest.approx(off.square().mean().item())


def test_the_teacher_is_the_average_and_drops_only_while_it_is_asked(double):
    run = start(get("sefar")(decay=0.5), clips(0, small=True), 1, device="cpu")
    fit(run, 2)
    before = {k: v.clone() for k, v in run["teacher"].state_dict().items()}
    fit(run, 3)
    for k, v in run["teacher"].state_dict().items():
        assert torch.equal(v, before[k].lerp(run["student"].state_dict()[k], 0.5))
    assert not any(m.training for m in run["teacher"].modules())
    x = run.rows().x
    torch.testing.assert_close(artefact(run)(x), run["teacher"](its.levels(x)))
