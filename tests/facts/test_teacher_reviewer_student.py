"""Teacher-Reviewer-Student: two averages, what is believed, and what the student sees."""

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.methods import teacher_reviewer_student
from understudy.worlds.sticks import sticks


def begun(**how):
    run = start(teacher_reviewer_student(**how), sticks(0, small=True), 0, device="cpu")
    with stream(0), torch.no_grad():
        return run, run.method.source(run)


def test_the_reviewer_averages_the_teachers_at_the_ends_of_epochs_to_the_last_bit(double):
    run, _ = begun(decay=0.8, memory=0.3)
    teacher, reviewer = ({k: v.clone() for k, v in run[name].state_dict().items()} for name in ("teacher", "reviewer"))
    assert run.world.epoch == 4
    for step in range(1, 10):
        fit(run, step)
        for k, v in run["student"].state_dict().items():
            teacher[k].lerp_(v, 1 - 0.8)
        if step in (4, 8):
            for k in reviewer:
                reviewer[k].lerp_(teacher[k], 1 - 0.3)
        assert all(torch.equal(v, teacher[k]) for k, v in run["teacher"].state_dict().items())
        assert all(torch.equal(v, reviewer[k]) for k, v in run["reviewer"].state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for name in ("teacher", "reviewer") for p in run[name].parameters())


def test_terms_by_hand(double):
    run, batch = begun(weight=2.0, review=0.5, levels=0.25, ramp=0.0, sure=0.0)
    got = run.method.loss(run, batch)
    out, inner = run.tap("student", ("bottom", "middle"), batch.mixed)
    levels = [out, *run["heads"](inner, 12)]
    for name, weight in (("teacher", 2.0), ("reviewer", 1.0)):
        each = [float((s - batch[name]).square().sum((2, 3))[batch.sure].mean().detach()) / 2 for s in levels]
        assert got[name].item() == pytest.approx(weight * (each[0] + 0.25 * (each[1] + each[2])))
    assert got["hard"].item() == pytest.approx(run.world.hard(run["student"](batch.x), batch).item())


def test_only_high_peaks_are_believed_and_without_any_nothing_is_learned_from_the_averages(double):
    few, some, all_ = (begun(sure=sure)[1].sure for sure in (10.0, 1.0, 0.0))
    assert not few.any() and (some <= all_).all() and 0 < some.sum() < all_.sum()
    run, batch = begun(sure=10.0)
    got = run.method.loss(run, batch)
    assert got["teacher"] == got["reviewer"] == 0 < got["hard"]


def test_without_mix_the_strong_view_is_left_whole(double):
    _, plain = begun(mix=0.0)
    _, mixed = begun(mix=1.0, patch=0.3)
    assert (plain.mixed != mixed.mixed).flatten(1).any(1).all()
