"""BCP: both ways of pasting, by the authors' numbers and by hand."""

import json
from pathlib import Path

import pytest
import torch

from facts.given import terms
from understudy.core.batch import Batch
from understudy.methods import bcp
from understudy.methods.segmentation import bcp as its
from understudy.worlds.cells import cells

AUTHORS = json.loads((Path(__file__).parent / "copies_and_boxes.json").read_text())["bcp"]


def test_mixed_supervision_is_the_authors(monkeypatch):
    """Three labelled and three unlabelled rows; what the student says of both mixes is the same, so both sides can be compared."""
    g = torch.Generator().manual_seed(7)
    out = (torch.randn(3, 4, 6, 6, generator=g, dtype=torch.double) * 2).requires_grad_()
    known, guess = (torch.randint(0, 4, (3, 6, 6), generator=g) for _ in range(2))
    mask = torch.ones(6, 6, dtype=torch.bool)
    mask[1:5, 2:6] = False
    monkeypatch.setattr(its, "window", lambda *_: mask)
    guess_out = guess.roll(-1, 0)  # the second way pairs the unlabelled rows one further
    batch = Batch(x=torch.zeros(6, 1, 6, 6), known=torch.arange(6).view(-1, 1, 1).expand(6, 6, 6) < 3)
    for name, label in (("inward", torch.cat([known, guess])), ("outward", torch.cat([known, guess_out]))):
        got = terms(
            bcp(alpha=0.5), cells(0, small=True), Batch({**batch, "label": label}), step=20, student=torch.cat([out, out])
        )
        (grad,) = torch.autograd.grad(got[name], out)
        assert got[name].item() == pytest.approx(AUTHORS[name]["value"], rel=1e-6)
        assert grad.abs().sum().item() == pytest.approx(AUTHORS[name]["abs_sum"], rel=1e-6)
        assert grad.flatten()[3].item() == pytest.approx(AUTHORS[name]["at_3"], rel=1e-6)


def test_what_the_student_sees(monkeypatch):
    """One labelled picture of ones, one unlabelled of twos: ones around twos, then twos around ones."""
    seen = []

    class Watcher(torch.nn.Module):
        def forward(self, x):
            seen.append(x)
            return torch.zeros(len(x), 2, 6, 6)

    monkeypatch.setattr("facts.given.Given", lambda _: Watcher())
    x = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1).expand(2, 1, 6, 6)
    batch = Batch(x=x, known=(x == 1)[:, 0], label=x[:, 0].long() - 1)
    terms(bcp(beta=0.5), cells(0, small=True), batch, step=20, student=None)
    inward, outward = seen[0][:, 0]
    assert (inward == 2).sum() == (outward == 1).sum() == 9 and torch.equal(inward, 3 - outward)
    terms(bcp(beta=0.5), cells(0, small=True), batch, step=0, student=None)
    assert (seen[1] == 1).all(), "before the teacher is asked, labelled pictures are pasted into labelled ones"
