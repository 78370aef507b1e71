"""ReMixMatch: aligned and sharpened guesses, four losses by brute force, and what it remembers of the classes."""

import pytest
import torch

from understudy.core.batch import Batch
from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.methods.semi import remixmatch as its
from understudy.worlds.utterances import utterances


def test_by_brute_force(double, monkeypatch):
    world = utterances(0, small=True)
    run = start(get("remixmatch")(weight=3.0, first=2.0, poses=0.7, mixup=0.0, ramp=0.5), world, 1, device="cpu")
    monkeypatch.setattr(its, "weakly", lambda x: x)
    monkeypatch.setattr(its, "strongly", lambda x: 0.5 * x)
    monkeypatch.setattr(its, "posed", lambda x, pose: x * (1 + pose.view(-1, 1, 1, 1)))
    past, batch = torch.rand(3, 10).softmax(1), run.rows()
    for p in past:
        run["alignment"].add(p[None])
    run.step = 5
    torch.manual_seed(0)
    got = run.method.loss(run, batch)
    torch.manual_seed(0)
    known, net = batch.y >= 0, run["student"]
    pose = torch.randint(4, (int((~known).sum()),))
    x, u = 0.5 * batch.x[known], batch.x[~known]
    share = torch.bincount(world.data.train.y[world.data.train.y >= 0], minlength=10).double()
    q = net(u).softmax(1) * (share / share.sum()) / past.mean(0)
    q = (q / q.sum(1, keepdim=True)) ** 2
    q = (q / q.sum(1, keepdim=True)).detach()
    ce = lambda target, rows: -(target * net(rows).log_softmax(1)).sum(1).mean().item()
    assert got["hard"].item() == pytest.approx(ce(torch.eye(10)[batch.y[known]], x))
    assert got["guessed"].item() == pytest.approx(0.5 * 3 * (2 * ce(q, 0.5 * u) + ce(q, u)) / 3)  # half way up
    assert got["first"].item() == pytest.approx(0.5 * 2 * ce(q, 0.5 * u))
    f = run.tap("student", "penultimate", 0.5 * u * (1 + pose.view(-1, 1, 1, 1)))[1]
    said = run["poses"](f).log_softmax(1).gather(1, pose[:, None])
    assert got["poses"].item() == pytest.approx(-0.7 * said.mean().item())


def test_it_remembers_how_it_answered_and_knows_the_classes_shares(double):
    run = start(get("remixmatch")(), utterances(0, small=True), 1, device="cpu")
    target = run["alignment"].target
    assert target.sum().item() == pytest.approx(1) and sorted(target[target > 0].tolist()) == pytest.approx([1 / 4] * 4)
    said = []
    fit(run, 3, watch=lambda _r, batch, _t: said.append(batch.said))
    torch.testing.assert_close(run["alignment"].past.filled(), torch.cat(said))


def test_rows_that_are_no_pictures_have_no_poses(double):
    world, pictures = utterances(0, small=True), utterances(0, small=True).rows
    flat = lambda step, split="train": Batch({**pictures(step), "x": pictures(step).x.flatten(1)})
    width = flat(0).x.shape[1]
    world.rows, world.new_student = flat, lambda: torch.nn.Sequential(torch.nn.Linear(width, 8), torch.nn.Linear(8, 10))
    world.sweep = lambda: iter([flat(0)])
    run = start(get("remixmatch")(at="0"), world, 1, device="cpu")
    seen = []
    fit(run, 2, watch=lambda _r, _b, terms: seen.append(set(terms["student"])))
    assert "poses" not in run.nets and seen[0] == {"hard", "guessed", "first"}
