"""The study of random teachers: who begins where, and that who begins at the teacher has nothing to learn."""

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.run import start
from understudy.studies.random_teachers import Copy
from understudy.worlds.gallery import gallery


def begun(a, **how):
    return start(Copy(a=a, **how), gallery(0, small=True), 0, device="cpu")


def test_the_student_begins_a_share_of_the_way_from_the_teacher():
    near, far = begun(0.25), begun(1.0)
    for mine, theirs in (("student", "teacher"), ("head", "target")):
        for p, q, own in zip(near[mine].parameters(), near[theirs].parameters(), far[mine].parameters(), strict=True):
            torch.testing.assert_close(p, 0.75 * q + 0.25 * own)


def test_the_teacher_stays_and_the_student_comes_to_say_what_it_says():
    run = begun(1.0)
    before = {k: v.clone() for name in ("teacher", "target") for k, v in run[name].state_dict(prefix=name).items()}
    first = run.method.loss(run, run.rows(step=0))["copy"].item()
    fit(run)
    assert run.method.loss(run, run.rows(step=0))["copy"].item() < 0.7 * first
    assert all(torch.equal(v, before[k]) for n in ("teacher", "target") for k, v in run[n].state_dict(prefix=n).items())


def test_no_gradient_where_they_are_the_same():
    run = begun(0.0)
    loss = run.method.loss(run, run.rows())["copy"]
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert max(p.grad.abs().max().item() for p in run["student"].parameters()) < 1e-6


def test_noise_has_the_pixels_mean_and_deviation_and_no_labels_are_seen():
    run = begun(1.0, noise=True)
    pixels = run.world.data.train.x
    drawn = torch.cat([run.method.source(run).x for _ in range(50)])
    assert drawn.mean().item() == pytest.approx(pixels.mean().item(), abs=0.03)
    assert drawn.std().item() == pytest.approx(pixels.std().item(), abs=0.03)
    assert (run.rows().y == -1).all()
