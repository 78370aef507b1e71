"""Mean Teacher: nothing to agree about where views and weights are the same; the average is the average it says it is."""

import copy

import pytest
import torch

from facts.given import terms
from understudy.core.batch import Batch
from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.methods.semi import mean_teacher as its
from understudy.worlds.utterances import utterances


@pytest.fixture
def plain(monkeypatch, double):
    monkeypatch.setattr(its, "weakly", lambda x: x)


def loss(s, u, y, step=24, **settings):
    return terms(
        its.MeanTeacher(**settings), utterances(0, small=True), Batch(x=torch.zeros(len(s), 2), y=y), step, student=s, teacher=u
    )


def test_by_hand(plain):
    s, u, y = torch.randn(4, 3), torch.randn(4, 3), torch.tensor([2, -1, 0, -1])
    got = loss(s, u, y, weight=7.0)
    p, q = s.softmax(1), u.softmax(1)
    assert got["hard"].item() == pytest.approx(-(p[0, 2].log() + p[2, 0].log()).item() / 2)
    assert got["consistency"].item() == pytest.approx(
        7 * sum((p[i, c] - q[i, c]).item() ** 2 for i in range(4) for c in range(3)) / 12
    )
    assert loss(s, u, y, step=0, weight=7.0)["consistency"].item() == pytest.approx(
        got["consistency"].item() * torch.tensor(-5.0).exp().item()
    )


def test_nothing_to_agree_about_where_views_and_weights_agree(plain):
    run = start(get("mean-teacher")(), utterances(0, small=True), 1, device="cpu")
    assert run.method.loss(run, run.rows())["consistency"].item() == 0


def test_mixup_of_both_targets(plain, monkeypatch):
    """Half of each row and half of the next one, so the consistency is with half of both answers."""
    turn = lambda a: (a + a.roll(1, 0)) / 2
    monkeypatch.setattr(its, "mixed_up", lambda rows, alpha: tuple(map(turn, rows)))
    s, u, y = torch.randn(3, 3), torch.randn(3, 3), torch.tensor([2, -1, 0])
    got, q = loss(s, u, y, weight=1.0, mixup=0.5), u.softmax(1)
    target = turn(torch.stack([torch.eye(3)[2], q[1], torch.eye(3)[0]]))
    assert got["hard"].item() == pytest.approx(-(target * s.log_softmax(1))[[0, 2]].sum().item() / 2)
    assert got["consistency"].item() == pytest.approx((s.softmax(1) - turn(q)).square().mean().item())


def test_the_teacher_is_the_mean_of_all_students_while_it_is_warm(double):
    run = start(get("mean-teacher")(decay=0.999), utterances(0, small=True), 1, device="cpu")
    seen = [copy.deepcopy(run["student"].state_dict())]
    for _ in range(4):
        fit(run, run.step + 1)
        seen.append(copy.deepcopy(run["student"].state_dict()))
    for k, v in artefact(run).state_dict().items():
        torch.testing.assert_close(v, sum(one[k] for one in seen) / 5)
