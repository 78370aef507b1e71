"""The study of mixup in distillation: its loss by hand, and how many rows are mixed."""

import pytest
import torch
import torch.nn.functional as F

from facts.given import terms
from understudy.core.batch import Batch
from understudy.methods import kd
from understudy.studies.mix_kd import Mixed
from understudy.worlds.figures import figures


def asked(method, n=20):
    s, u, y = torch.randn(n, 10) * 3, torch.randn(n, 10) * 3, torch.arange(n) % 10
    return s, u, y, terms(method, figures(0, small=True), Batch(x=torch.zeros(n, 1, 8, 8), y=y), student=s, teacher=u)


def test_without_mixing_it_is_plain_distillation(double):
    torch.manual_seed(0)
    s, u, y, got = asked(Mixed(portion=0.0))
    want = terms(kd(), figures(0, small=True), Batch(x=y, y=y), student=s, teacher=u)
    assert {k: v.item() for k, v in got.items()} == pytest.approx({k: v.item() for k, v in want.items()})


def test_by_hand_with_each_answers_own_deviation(double):
    """As the authors' code has it: both terms of the student's logits over their deviation, which is the unbiased one."""
    torch.manual_seed(0)
    s, u, y, got = asked(Mixed(t=0.0, portion=0.0))
    p, q = (u / u.std(1, keepdim=True)).softmax(1), (s / s.std(1, keepdim=True)).log_softmax(1)
    assert got["hard"].item() == pytest.approx(0.1 * F.nll_loss(q, y).item(), rel=1e-5)
    assert got["soft"].item() == pytest.approx(0.9 * (p * (p.log() - q)).sum(1).mean().item(), rel=1e-5)


class Notes(torch.nn.Module):
    def forward(self, x):
        self.seen = x
        return torch.zeros(len(x), 10)


@pytest.mark.parametrize(("portion", "rows"), [(0.0, 0), (0.1, 2), (1.0, 20)])
def test_so_many_rows_are_mixed_and_teacher_and_student_see_the_same(portion, rows):
    from understudy.core.run import Run

    torch.manual_seed(1)
    nets = torch.nn.ModuleDict({"student": Notes(), "teacher": Notes()})
    x = torch.randn(20, 1, 8, 8)
    Mixed(portion=portion).loss(Run(Mixed(), figures(0, small=True), 0, nets, {}, {}), Batch(x=x, y=torch.arange(20) % 10))
    seen = nets["student"].seen
    same = (seen == x).flatten(1).all(1)
    assert torch.equal(seen, nets["teacher"].seen) and rows - 2 <= (~same).sum() <= rows  # a row may be its own partner
