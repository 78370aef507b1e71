"""LSSKD: its terms by loops, its snapshot, and what is left at the end."""

import pytest
import torch

from understudy.core.batch import Batch
from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.methods import lsskd
from understudy.worlds.figures import figures


def test_by_loops(double):
    """Every picture in each pose by itself, class and pose as one label, the last stage over the first."""
    world = figures(0, small=True)
    run = start(lsskd(past=2.0, cross=0.5, t=3.0), world, 0, device="cpu")
    with torch.no_grad():
        for p in run["past"].parameters():
            p += 0.1 * torch.randn_like(p)
    batch = Batch(x=world.rows(0).x[:5], y=torch.tensor([3, -1, 0, 9, 1]))
    run.step = 16  # the third epoch of three
    got, t = run.method.loss(run, batch), 3.0
    kl = lambda p, q: t * t * (p / t).softmax(0) @ ((p / t).log_softmax(0) - (q / t).log_softmax(0))

    def said(net, x):
        one = net.inner.stage1(x[None])
        two = net.inner.stage2(one)
        return net.inner(x[None])[0], [head(f)[0] for head, f in zip(net.heads, (one, two), strict=True)]

    aux, cross, past = [], [], []
    for x, y in zip(batch.x, batch.y.tolist(), strict=True):
        for j in range(4):
            turned = x.rot90(j, (-2, -1))
            (s, c), (s_past, c_past) = said(run["student"], turned), said(run["past"], turned)
            aux += [-(one.log_softmax(0)[10 * j + y]) for one in c if y >= 0]
            cross.append(kl(c[1], c[0]))
            past += [kl(u, one) / (20 * 2) for u, one in zip(c_past, c, strict=True)] + ([kl(s_past, s) / 5] if j == 0 else [])
    assert len(aux) == 4 * 4 * 2
    want = (sum(aux) / len(aux), 0.5 * sum(cross) / len(cross), 2.0 * sum(past))
    assert [got[k].item() for k in ("aux", "cross", "past")] == pytest.approx([v.item() for v in want])


def test_the_past_is_the_epoch_before_and_no_gradient_reaches_it():
    run = start(lsskd(), figures(0, small=True), 0, device="cpu")
    fit(run, run.world.epoch)
    end = {k: v.clone() for k, v in run["student"].state_dict().items()}
    fit(run, run.world.epoch + 3)
    assert all(torch.equal(v, end[k]) for k, v in run["past"].state_dict().items())
    assert not any(torch.equal(v, end[k]) for k, v in run["student"].state_dict().items() if v.dim() > 1)
    assert not any(p.requires_grad or p.grad is not None for p in run["past"].parameters())
    shares = [run.method.share(start(lsskd(past=2.0), run.world, 0, device="cpu"))]
    assert shares == [0.0]


def test_the_classifiers_are_thrown_away():
    run = start(lsskd(), figures(0, small=True), 0, device="cpu")
    plain = run.world.student()
    assert {k: v.shape for k, v in artefact(run).state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}
