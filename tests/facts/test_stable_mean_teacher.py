"""Stable Mean Teacher: its maps and their differences against loops; who learns from labels; both averages."""

import pytest
import torch

from facts.given import terms
from understudy.core.batch import Batch
from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.methods.segmentation import stable_mean_teacher as its
from understudy.worlds.clips import clips_masks


def test_by_hand(double):
    out = {name: torch.randn(2, 3 if "recovery" not in name else 2, 4, 2, 2) for name in
           ("student", "teacher", "recovery", "recovery_teacher")}  # fmt: skip
    batch = Batch(x=torch.randn(2, 1, 4, 2, 2), y=torch.full((2, 4, 2, 2), -1))
    got = terms(get("stable-mean-teacher")(consistency=3.0, recover=0.5, dop=2.0), clips_masks(0, small=True), batch, 24, **out)
    m, u, r = (1 - out[name].softmax(1)[:, 0] for name in ("student", "teacher", "recovery_teacher"))

    def away(b):
        plain = sum((m[i, f] - b[i, f]).square().sum() for i in range(2) for f in range(4)) / 32
        change = sum((m[i, f + 1] - m[i, f] - b[i, f + 1] + b[i, f]).square().sum() for i in range(2) for f in range(3)) / 24
        return (plain + 2 * change).item()

    assert got["raw"].item() == pytest.approx(3 * away(u)) and got["mended"].item() == pytest.approx(3 * 0.5 * away(r))
    assert got["hard"].item() == 0, "no label, nothing to mend by"


def test_a_map_off_by_a_constant_has_no_difference_of_pixels(double):
    """Logits whose map is another one plus 0.1 in all frames: the differences agree, the maps don't."""
    p = torch.rand(1, 4, 2, 2) * 0.5 + 0.2
    of = lambda p: torch.stack([(1 - p).log(), p.log()], 1)
    batch = Batch(x=torch.randn(1, 1, 4, 2, 2), y=torch.full((1, 4, 2, 2), -1))
    out = {"student": of(p), "teacher": of(p + 0.1), "recovery": of(p), "recovery_teacher": of(p)}
    got = terms(get("stable-mean-teacher")(dop=50.0), clips_masks(0, small=True), batch, 24, **out)
    assert got["raw"].item() == pytest.approx(0.01) and got["mended"].item() == pytest.approx(0, abs=1e-12)


def test_recovery_learns_from_labels_and_moves_no_map(double):
    run = start(get("stable-mean-teacher")(), clips_masks(0, small=True), 1, device="cpu")
    got = run.method.loss(run, run.rows())
    own = torch.autograd.grad(got["raw"] + got["mended"], run["recovery"].parameters(), retain_graph=True, allow_unused=True)
    assert all(g is None for g in own), "consistency is no business of the recovery network"
    (slope,) = torch.autograd.grad(got["hard"], run["recovery"][0].weight, retain_graph=True)
    assert slope.any()


def test_both_teachers_are_the_averages_they_say_they_are(double):
    run = start(get("stable-mean-teacher")(decay=0.5), clips_masks(0, small=True), 1, device="cpu")
    fit(run, 2)
    pairs = {"teacher": "student", "recovery_teacher": "recovery"}
    before = {k: {n: v.clone() for n, v in run[k].state_dict().items()} for k in pairs}
    fit(run, 3)
    for average, net in pairs.items():
        assert not any(p.requires_grad for p in run[average].parameters())
        for n, v in run[average].state_dict().items():
            assert torch.equal(v, before[average][n].lerp(run[net].state_dict()[n], 0.5))


def test_a_map_is_the_probability_of_not_being_background():
    assert its.somewhere(torch.tensor([[1.0, 3.0, 2.0]]).log()[..., None]).item() == pytest.approx(5 / 6)
