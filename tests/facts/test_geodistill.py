"""GeoDistill: its cross-entropy by hand, what a field of view is, and when its average moves."""

import pytest
import torch

from understudy.core.batch import Batch
from understudy.core.fit import fit
from understudy.core.run import Run, start
from understudy.methods import geodistill
from understudy.methods.selfdistill.geodistill import arc
from understudy.worlds.landmarks import landmarks


class Says(torch.nn.Module):
    def __init__(self, out):
        super().__init__()
        self.out = out

    def forward(self, x):
        return self.out[x]


def test_by_hand_at_two_scales(double):
    s, u = torch.rand(2, 16) * 2 - 1, torch.rand(2, 16) * 2 - 1
    s.requires_grad_()
    u.requires_grad_()
    nets = torch.nn.ModuleDict({"student": Says({"part": s}), "teacher": Says({"whole": u})})
    method = geodistill(sharp=0.09, t=0.2, scales=2)
    got = method.loss(Run(method, landmarks(0, small=True), 0, nets, {}, {}), Batch(x="whole", part="part"))["place"]

    def coarse(v):
        return torch.stack([v.view(4, 4)[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean() for i in range(2) for j in range(2)])

    want = 0.0
    for a, b in zip(u, s, strict=True):
        for p, q in ((a, b), (coarse(a), coarse(b))):
            want -= ((p / 0.09).softmax(0) * (q / 0.2).log_softmax(0)).sum() / 4
    assert got.item() == pytest.approx(want.item())
    at_s, at_u = torch.autograd.grad(got, (s, u), allow_unused=True)
    assert at_s.any() and at_u is None


def test_a_field_of_view_is_one_arc_of_that_share():
    share = torch.tensor([[0.25], [0.5], [1.0], [0.001]]).repeat(50, 1)
    seen = arc(share, 16)
    assert seen.sum(1).tolist() == [4, 8, 16, 1] * 50
    edges = (seen & ~seen.roll(1, 1)).sum(1)  # how often an arc begins
    assert edges.tolist() == [1, 1, 0, 1] * 50 and seen.any(0).all()


def test_the_student_sees_a_part_and_the_average_moves_once_an_epoch():
    run = start(geodistill(decay=0.9), landmarks(0, small=True), 0, device="cpu")
    batch = run.method.source(run)
    share = batch.part["seen"].mean(1)
    assert (batch.x["seen"] == 1).all() and share.min() >= 0.3 and share.max() <= 0.53
    before = {k: v.clone() for k, v in run["teacher"].state_dict().items()}
    fit(run, run.world.epoch - 1)
    assert all(torch.equal(v, before[k]) for k, v in run["teacher"].state_dict().items())
    fit(run, run.world.epoch)
    student = run["student"].state_dict()
    assert all(torch.equal(v, before[k].lerp(student[k], 1 - 0.9)) for k, v in run["teacher"].state_dict().items())
    assert not any(p.requires_grad for p in run["teacher"].parameters())
