"""PETAL: the source phase collects what it passes through and all begin from its mean; who goes home, by a loop; the prior by hand."""

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.parts.restore import flat
from understudy.worlds import WORLDS


def begun(**how):
    return start(get("petal")(**how), WORLDS["recurring"](0, small=True, lead=3), 1, device="cpu")


def test_the_source_phase_is_where_the_posterior_comes_from(double):
    run = begun()
    path = [flat(run["student"]).detach().clone()]
    fit(run, 3, after=lambda run: path.append(flat(run["student"]).detach().clone()))
    posterior, mean = run["posterior"], path.pop()  # after its last step the student was put to the mean
    assert all(torch.equal(flat(run[name]), posterior.mean) for name in ("student", "teacher", "source"))
    assert posterior.count == 4, "where it began, and three steps"
    last = 4 * mean - sum(path)
    torch.testing.assert_close(posterior.variance, torch.stack([*path, last]).var(0, correction=0))


def test_the_prior_by_hand(double):
    run = fit(begun(prior=0.1, damp=0.01, restore=0.0), 5)
    mean, variance = run["posterior"].mean, run["posterior"].variance
    want = sum(
        0.1 / 2 * (w - m) ** 2 / (v + 0.01)
        for w, m, v in zip(flat(run["student"]).tolist(), mean.tolist(), variance.tolist(), strict=True)
    )
    seen = []
    fit(run, 6, watch=lambda _run, _batch, terms: seen.append(terms["student"]["prior"].item()))
    assert seen == [pytest.approx(want, rel=1e-9)]


def test_who_goes_home_by_a_loop(double):
    """Those whose squared gradient is below the quantile, and no others; the average was there before."""
    run, free = fit(begun(restore=0.7, decay=0.9), 3), fit(begun(restore=0.0, decay=0.9), 3)
    grads = []
    fit(run, 4, watch=lambda run, *_: grads.append(torch.cat([p.grad.flatten() for p in run["student"].parameters()]) ** 2))
    fit(free, 4)
    bar = grads[0].quantile(0.7)
    s, s_free, home = flat(run["student"]), flat(free["student"]), run["posterior"].mean
    assert sum(g < bar for g in grads[0].tolist()) > 0
    for new, kept, old, g in zip(s.tolist(), s_free.tolist(), home.tolist(), grads[0].tolist(), strict=True):
        assert new == (old if g < bar else kept)
    assert torch.equal(flat(run["teacher"]), home.lerp(s_free, 1 - 0.9)) and torch.equal(
        flat(free["teacher"]), flat(run["teacher"])
    )
