"""FST: where the average stands after a look ahead, deep and wide, against plain loops; what a pasted pixel weighs."""

import copy

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.methods.segmentation import fst as its
from understudy.worlds.touching import touching


def trial(**how):
    """A run after two steps, its next batch, and the losses of that step with their look ahead."""
    run = fit(start(get("fst")(pretrain=0.0, **how), touching(0, small=True), 1, device="cpu"), 2)
    before = [{k: v.clone() for k, v in run[name].state_dict().items()} for name in ("student", "teacher")]
    with stream(1, 2), torch.no_grad():
        batch = run.method.source(run)
    return run, batch, before


def test_without_a_look_ahead_it_is_a_mean_teacher(double):
    run, _, (student, teacher) = trial(ahead=0, decay=0.9)
    fit(run, 3)
    for k, v in run["teacher"].state_dict().items():
        torch.testing.assert_close(v, 0.9 * teacher[k] + 0.1 * student[k])


@pytest.mark.parametrize("look", ["deep", "wide"])
def test_the_average_follows_the_trials_and_the_student_stays(double, monkeypatch, look):
    """A trial that moves every weight by 1 in place of a gradient: deep has seen s, s + 1, s + 2; wide s + 1 and then the real one."""

    def tried(net, terms, length):
        with torch.no_grad():
            for p in net.parameters():
                p += 1

    run, batch, (student, teacher) = trial(look=look, ahead=2, decay=0.9)
    monkeypatch.setattr(its, "tried", tried)
    run.method.loss(run, batch)
    for k, v in run["student"].state_dict().items():
        assert torch.equal(v, student[k]), "the student itself went ahead"
    for k, v in batch["teacher"].items():
        want = teacher[k]
        for ahead in (0, 1, 2) if look == "deep" else (1,):
            want = 0.9 * want + 0.1 * (student[k] + ahead)
        torch.testing.assert_close(v, want)
    run.method.after_step(run, batch)
    for k, v in run["teacher"].state_dict().items():
        now = batch["teacher"][k]
        torch.testing.assert_close(v, now if look == "deep" else 0.9 * now + 0.1 * student[k])


def test_a_trial_is_a_step_of_that_length_down_the_gradient(double):
    net = torch.nn.Linear(3, 2)
    before, x = copy.deepcopy(net), torch.randn(5, 3)
    its.tried(net, {"a": net(x).square().sum(), "b": net(x).sum()}, torch.tensor(0.7))
    moved = [b - a for a, b in zip(before.parameters(), net.parameters(), strict=True)]
    assert torch.cat([m.flatten() for m in moved]).norm().item() == pytest.approx(0.7)
    slope = torch.autograd.grad(before(x).square().sum() + before(x).sum(), before.parameters())
    for m, g in zip(moved, slope, strict=True):
        assert (m * g).sum() < 0 and torch.cosine_similarity(m.flatten(), g.flatten(), 0).item() == pytest.approx(-1)


def test_the_pace_is_that_of_the_last_real_step(double):
    run, _, (student, _) = trial()
    assert run["pace"].length > 0
    fit(run, 3)
    went = torch.cat([(run["student"].state_dict()[k] - v).flatten() for k, v in student.items()]).norm()
    torch.testing.assert_close(run["pace"].length, went)
