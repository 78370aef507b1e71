"""FTD: experts step as the authors' GSAM does; a match is differentiated through every inner step."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facts.reference import cases
from understudy.core.batch import Batch
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.methods import ftd
from understudy.parts.unroll import at, flat, flatward
from understudy.worlds.condense import condense


@cases("FTD", "GSAM")
def test_experts_step_as_the_authors_do(record, double):
    g, net = torch.Generator().manual_seed(record["seed"]), nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=g))
    x, y = torch.randn(6, 5, generator=g), torch.randint(3, (6,), generator=g)
    value, step = flatward(lambda w: F.cross_entropy(at(net, w, x), y), flat(net).detach(), **record["settings"])
    assert value.item() == pytest.approx(record["value"], rel=1e-9)
    torch.testing.assert_close(step, torch.tensor(record["step"]), rtol=1e-6, atol=1e-12)


def test_a_match_is_the_share_of_the_way_that_is_left(double):
    run = start(ftd(inner=1, ipc=2), condense(0, small=True), 1, device="cpu")
    net, rows, w, goal = run["student"], run["rows"], *run["experts"].w.detach()[:2]
    (loss,) = run.method.loss(run, Batch(start=w, goal=goal))["rows"].values()
    g = torch.cat(
        [g.flatten() for g in torch.autograd.grad(F.cross_entropy(net.requires_grad_()(rows.x), rows.y), net.parameters())]
    )
    left = w - rows.lr * g - goal  # the first expert begins as the student does
    torch.testing.assert_close(loss, left @ left / ((w - goal) @ (w - goal)))
    loss.backward()
    torch.testing.assert_close(rows.lr.grad, -2 * (g @ left) / ((w - goal) @ (w - goal)))


def test_the_gradient_of_a_pixel_goes_through_all_inner_steps(double):
    run = start(ftd(inner=5), condense(0, small=True), 1, device="cpu")
    w, goal = run["experts"].w.detach()[:2]
    value = lambda: run.method.loss(run, Batch(start=w, goal=goal))["rows"]["match"]
    value().backward()
    x, i, values = run["rows"].x, (3, 0, 4, 4), []
    for way in (1e-5, -2e-5):
        with torch.no_grad():
            x[i] += way
        values.append(value().item())
    assert x.grad[i].item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5)


def test_experts_leave_their_path_and_rest_when_rows_are_made():
    run = fit(start(ftd(), condense(0, small=True), 1, device="cpu"))
    path = run["experts"].path
    assert (path.diff(dim=1).norm(dim=-1) > 0).all()
    assert torch.equal(path[:, -1], run["experts"].w)
