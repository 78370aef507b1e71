"""PSMT: the penalty against a loop; a mask that student and average share; the average elsewhere."""

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.parts.restore import flat
from understudy.worlds import WORLDS


def begun(**how):
    return start(get("psmt")(**how), WORLDS["recurring"](0, small=True), 1, device="cpu")


def test_the_penalty_by_hand(double):
    """F is the mean over the sweep's batches of the squared gradient towards the model's own labels."""
    run = begun(protect=7.0, restore=0.0)
    student, want = run["student"], torch.zeros(len(flat(run["student"])))
    parts = list(run.world.sweep())
    for part in parts:
        out = student(part.x)
        student.zero_grad()
        torch.nn.functional.cross_entropy(out, out.argmax(-1)).backward()
        want += torch.cat([p.grad.flatten() for p in student.parameters()]) ** 2 / len(parts)
    student.zero_grad()
    torch.testing.assert_close(run["matters"].fisher, want)
    fit(run, 2)
    seen, away = [], flat(student).detach() - flat(run["source"])
    fit(run, 3, watch=lambda _run, _batch, terms: seen.append(terms["student"]["protect"].item()))
    assert seen == [pytest.approx(7 * sum(f * a * a for f, a in zip(want.tolist(), away.tolist(), strict=True)), rel=1e-9)]


def test_what_matters_little_goes_home_in_both_and_the_rest_is_averaged(double):
    run, free = fit(begun(restore=0.7, decay=0.9), 1), fit(begun(restore=0.0, decay=0.9), 1)
    grad = torch.cat([p.grad.flatten() for p in run["student"].parameters()]) ** 2
    home, little = flat(run["source"]), grad < grad.quantile(0.7)
    assert 0 < little.sum() <= 0.7 * len(little)
    assert torch.equal(flat(run["student"]), torch.where(little, home, flat(free["student"])))
    assert torch.equal(flat(run["teacher"]), torch.where(little, home, home.lerp(flat(free["student"]), 1 - 0.9)))
    assert not any(p.requires_grad or p.grad is not None for p in run["teacher"].parameters())


def test_more_protection_stays_nearer_to_the_source():
    far = [(flat(r["student"]) - flat(r["source"])).norm().item() for r in (fit(begun(protect=p), 8) for p in (0.0, 1e5))]
    assert far[1] < far[0]


def test_it_answers_with_both():
    run = fit(begun(), 2)
    x = run.rows().x
    torch.testing.assert_close(artefact(run)(x), run["student"](x) + run["teacher"](x))
