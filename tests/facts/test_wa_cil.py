"""WA: its losses and its alignment are those of a public implementation; phases hand over; no weight is below 0; rows are kept fairly."""

import pytest
import torch
from torch import nn

from facts.given import Given
from facts.reference import cases
from understudy.core.batch import Batch
from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import Run, artefact, start
from understudy.core.world import World, recast
from understudy.parts.incremental import Classes, align_, classifier
from understudy.tasks import task
from understudy.worlds import WORLDS


@cases("WA-CIL")
def test_agrees_with_a_public_implementation(record):
    g = torch.Generator().manual_seed(record["seed"])
    s, u = (torch.randn(7, c, generator=g, dtype=torch.double) * 3 for c in (6, 4))
    y, w = torch.randint(0, 6, (7,), generator=g), torch.randn(6, 5, generator=g, dtype=torch.double)
    s.requires_grad_()
    classes = Classes(6)
    classes.meet(torch.arange(4))
    classes.turn()
    classes.meet(torch.arange(6))
    wide = torch.cat([u, torch.randn(7, 2, generator=g, dtype=torch.double)], 1)  # what it says of classes to come is left aside
    nets = nn.ModuleDict({"student": Given(s), "teacher": Given(wide), "classes": classes})
    world = recast(World(), hard=lambda out, batch: task("classify").hard(out, batch.y))
    run = Run(get("wa-cil")(t=2.0), world, 0, nets, {}, {})
    terms = run.method.loss(run, Batch(x=s, y=y))
    assert (terms["hard"].item(), terms["soft"].item()) == pytest.approx((record["hard"], record["soft"]), rel=1e-6)
    (grad,) = torch.autograd.grad(sum(terms.values()), s)
    found = grad.abs().sum().item(), grad.flatten()[3].item(), grad.flatten()[11].item()
    assert found == pytest.approx(tuple(record[k] for k in ("grad_abs_sum", "grad_at_3", "grad_at_11")), rel=1e-6)
    assert align_(w, classes.old, classes.known & ~classes.old) == pytest.approx(record["gamma"], rel=1e-6)
    assert w.abs().sum().item() == pytest.approx(record["aligned_abs_sum"], rel=1e-6)


def test_a_class_that_has_not_come_is_never_answered_and_gets_no_gradient():
    world = WORLDS["lessons"](3, small=True)
    run = start(get("wa-cil")(), world, 1, device="cpu")
    head = classifier(run["student"], world.rows(0).x)
    before = head.bias.clone()
    fit(run, 4)
    come = torch.isin(torch.arange(10), world.classes(0))
    assert torch.equal(run["classes"].known, come) and (head.weight >= 0).all()
    assert torch.isin(artefact(run)(world.data.valid.x).argmax(1), world.classes(0)).all()
    wait = head.bias.grad[~come]
    assert not wait.any() and head.bias.grad[come].any() and before.shape == head.bias.shape


def test_the_next_phase_learns_from_the_student_as_it_was_aligned():
    world = WORLDS["lessons"](3, small=True)
    run = fit(start(get("wa-cil")(memory=0.2), world, 1, device="cpu"), 10)  # two of five phases in 24 steps
    assert world.phase(9) == 1 < world.phase(10)
    head, old = classifier(run["student"], world.rows(10).x), world.classes(0)
    norm = head.weight.norm(dim=1)
    assert norm[old].mean().item() == pytest.approx(norm[world.classes(1)].mean().item(), rel=1e-5)
    assert all(torch.equal(v, run["teacher"].state_dict()[k]) for k, v in run["student"].state_dict().items())
    assert torch.equal(run["classes"].old, run["classes"].known) and run["classes"].old.sum() == 4
    counts = run["memory"].y[run["memory"].y >= 0].bincount(minlength=10)
    assert counts.max() <= 13 // 4 and (counts > 0).sum() == 4 and (run["present"].y < 0).all()
