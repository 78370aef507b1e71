"""POST: what is carried back, what is believed, and whose gradient goes where."""

import pytest
import torch

from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.methods import post_pose
from understudy.parts.affine import inverse, seen
from understudy.parts.joints import expected, peaks
from understudy.worlds.sticks import dusk


def begun(**how):
    run = start(post_pose(**how), dusk(0, small=True), 0, device="cpu")
    with stream(0), torch.no_grad():
        return run, run.method.source(run)


def test_where_nothing_is_changed_teacher_and_student_say_and_feel_the_same(double):
    """And what is learned is the teacher's own peak, as a clean bump."""
    run, batch = begun(degrees=0.0, zoom=0.0, shift=0.0, jitter=0.0, cut=0.0)
    heat, felt = run.method.back(run, "student", batch.seen, batch.way)
    torch.testing.assert_close(felt, batch.felt)
    torch.testing.assert_close(run["student"](batch.x)[:, :11], heat)
    said = peaks(batch.clean)[0]
    inner = peaks(heat)[0].abs().amax(-1) < 0.8
    assert (said - peaks(heat)[0])[inner].abs().max() < 0.5 * 2 / 12


def test_the_surest_share_of_a_batch_is_believed(double):
    run, batch = begun(drop=0.75, degrees=0.0, zoom=0.0, shift=0.0, jitter=0.0)
    height = peaks(run["teacher"](batch.x)[:, :11])[1]
    want = sorted(height.flatten().tolist())[-(height.numel() // 4) :]
    assert sorted(height[batch.top].tolist()) == pytest.approx(want)


def test_terms_by_hand_and_the_prior_waits(double):
    run, batch = begun(wait=0.5, prior=2.0, features=3.0)
    out = run["student"](batch.seen)
    back = seen(out[:, :11], inverse(batch.way), "zeros")
    each = (back - batch.clean).square().sum((2, 3)) / 2
    early = run.method.loss(run, batch)
    assert early["pseudo"].item() == pytest.approx(each[batch.top].mean().item())
    assert early["prior"] == 0
    run.step = 12
    late = run.method.loss(run, batch)
    assert late["prior"].item() == pytest.approx(2 * run["prior"](expected(back)).mean().item())
    assert late["features"].item() == pytest.approx(2 * early["features"].item())


def test_a_covered_joint_is_one_that_the_teacher_is_sure_of():
    plain = {"degrees": 0.0, "zoom": 0.0, "shift": 0.0, "jitter": 0.0}
    _, none = begun(cut=1.0, sure=10.0, **plain)
    _, all_ = begun(cut=1.0, sure=0.0, patch=0.2, **plain)
    torch.testing.assert_close(none.seen, none.x)
    assert ((all_.seen - all_.x).abs() > 1e-3).flatten(1).any(1).sum() >= 5
