"""WAD: what an encoder suggests, with what weight, and which rows become labelled."""

import pytest
import torch
from torch.nn import functional as F

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.methods.semi.wad import Knowledge
from understudy.worlds.strangers import strangers

wad = get("wad")


def test_labels_and_weights_against_a_loop(double):
    known, z = Knowledge(9, 3), torch.randn(9, 5)
    known.label[:5] = torch.tensor([0, 0, 1, 2, 2])
    known.ask(z)
    axis = [
        F.normalize(torch.stack([F.normalize(z[i], dim=0) for i in range(5) if known.label[i] == c]).mean(0), dim=0)
        for c in range(3)
    ]
    for i in range(9):
        sim = sorted(((F.normalize(z[i], dim=0) @ a).item(), c) for c, a in enumerate(axis))
        (second, _), (first, best) = sim[-2:]
        assert known.pseudo[i] == best and known.weight[i].item() == pytest.approx(first * (1 - second / first))


def test_the_rows_that_agree_most_become_labelled_and_no_labelled_one_changes():
    known = Knowledge(6, 3)
    known.label[:2], known.pseudo = torch.tensor([1, 2]), torch.tensor([0, 0, 2, 1, 0, 2])
    known.take(torch.tensor([0.0, 0.0, 0.7, 0.1, 0.9, 0.2]), 0.5)
    assert known.label.tolist() == [1, 2, -1, 1, -1, 2]
    known.take(torch.tensor([0.0, 0.0, 0.7, 0.1, 0.9, 0.2]), 0.49)
    assert known.label.tolist() == [1, 2, -1, 1, -1, 2], "less than one row is none"


def test_encoder_first_then_rounds():
    """Of 24 steps 8 are the encoder's; 2 rounds of 8, and what is suggested stays within a round."""
    run = start(wad(rounds=2, alpha=0.8), strangers(0, small=True), 0, device="cpu")
    turns, weights, labelled = [], [], []
    for _ in range(24):
        fit(run, run.step + 1, watch=lambda _r, _b, terms: turns.extend(terms))
        weights.append(run["knowledge"].weight.clone())
        labelled.append(int((run["knowledge"].label >= 0).sum()))
    assert turns == ["encoder"] * 8 + ["student"] * 16
    assert (
        not weights[6].any()
        and all(torch.equal(w, weights[7]) for w in weights[8:15])
        and not torch.equal(weights[15], weights[7])
    )
    assert labelled == [4] * 15 + [4 + int(0.8 * 0.5**2 * 60)] * 9
