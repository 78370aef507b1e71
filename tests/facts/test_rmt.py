"""RMT: its losses are its authors', gradients included; why the symmetric cross-entropy; where its prototypes and its average lie."""

import pytest
import torch
from torch import nn

from facts.reference import cases
from understudy.core.batch import Batch
from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import Run, artefact, start
from understudy.core.world import World, recast
from understudy.parts.divergence import symmetric_cross_entropy
from understudy.parts.prototypes import Prototypes
from understudy.worlds import WORLDS


class Says(nn.Module):
    """Logits and features by what it is asked about."""

    def __init__(self, **answers):
        super().__init__()
        self.answers, self.head = answers, nn.Identity()

    def forward(self, x):
        out, features = self.answers[x]
        self.head(features)
        return out


@cases("RMT")
def test_agrees_with_the_authors(record):
    g = torch.Generator().manual_seed(record["seed"])
    given = {name: torch.randn(shape, generator=g, dtype=torch.double) * scale for name, shape, scale in record["inputs"]}
    asked = [given[k].requires_grad_() for k in ("outputs_test", "outputs_aug_test", "features_test", "features_aug_test")]
    s, s_view, f, f_view = asked
    w, prototypes = given["w"], Prototypes(given["prototypes"], torch.arange(5))
    assert torch.equal(prototypes.nearest(f), given["prototypes"][record["nearest"]])
    student, teacher = (
        Says(x=(s, f), view=(s_view, f_view), source=(s.detach(), f.detach())),
        Says(x=(given["outputs_ema"], f.detach())),
    )
    down, up = nn.Linear(7, 7, bias=False).double(), nn.Linear(7, 7, bias=False).double()
    down.load_state_dict({"weight": w}), up.load_state_dict({"weight": w.T})
    nets = {"student": student, "teacher": teacher, "prototypes": prototypes, "projector": nn.Sequential(down, nn.ReLU(), up)}
    world = recast(World(), phase=lambda step: 1, hard=lambda out, batch: out.sum() * 0)
    run = Run(get("rmt")(at="head"), world, 0, nn.ModuleDict(nets), {}, {})
    terms = run.method.loss(run, Batch(x="x", view="view", source=Batch(x="source")))
    assert (terms["consistency"].item(), terms["contrast"].item()) == pytest.approx(
        (record["consistency"], record["contrast"]), rel=1e-6
    )
    for grad, total, third in zip(
        torch.autograd.grad(sum(terms.values()), asked), record["grad_abs_sum"], record["grad_at_3"], strict=True
    ):
        assert (grad.abs().sum().item(), grad.flatten()[3].item()) == pytest.approx((total, third), rel=1e-6)


def test_the_reverse_term_still_pulls_where_the_student_is_sure_and_wrong():
    """Two classes, u undecided, s = softmax(z, 0) with p = s_1: d CE(u, s)/dz = p - 1/2, d CE(s, u)/dz = 0; and where u is sure of
    class 1 with log-odds a, d CE(s, u)/dz = -a p (1 - p): the pull grows with a, where that of CE(u, s) is at most 1."""
    z = torch.tensor([[0.7, 0.0]], dtype=torch.double, requires_grad=True)
    p, a = torch.sigmoid(torch.tensor(0.7, dtype=torch.double)), 9.0
    for odds, want in ((0.0, 0.0), (a, -a * p * (1 - p))):
        u = torch.tensor([[odds, 0.0]], dtype=torch.double)
        (grad,) = torch.autograd.grad(symmetric_cross_entropy(u, z, 1.0), z)
        assert grad[0, 0].item() == pytest.approx(float(want), abs=1e-12)


def test_it_answers_with_both_and_its_average_is_an_average():
    run = start(get("rmt")(decay=0.9), WORLDS["stream"](0, small=True), 1, device="cpu")
    before = {k: v.clone() for k, v in run["teacher"].state_dict().items()}
    fit(run, 1)
    for k, v in run["teacher"].state_dict().items():
        torch.testing.assert_close(v, 0.9 * before[k] + 0.1 * run["student"].state_dict()[k])
    x = run.rows().x
    torch.testing.assert_close(artefact(run)(x), run["student"](x) + run["teacher"](x))


def test_prototypes_are_means_of_labelled_rows():
    f, y = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [9.0, 9.0]]), torch.tensor([0, 0, 2, -1])
    made = Prototypes(f, y)
    assert made.c.tolist() == [[2.0, 0.0], [0.0, 0.0], [0.0, 2.0]] and made.known.tolist() == [True, False, True]
    assert made.nearest(torch.tensor([[-1.0, -2.0], [0.1, 5.0]])).tolist() == [[2.0, 0.0], [0.0, 2.0]]
