"""MHIM-MIL: what is masked, and by whom."""

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.worlds.bags import bags

mhim = get("mhim-mil")


def at(method, step):
    """A run that is at that step, and its batch."""
    run = start(method, bags(0, small=True), 0, device="cpu")
    run.step = step
    with stream(0, step):
        return run, method.source(run)


def test_masked_are_the_easy_the_low_and_no_others(double):
    """Of 8 instances: of the 4 that the teacher attends to most 2, of those it attends to least 2."""
    run, batch = at(mhim(high=0.25, among=0.5, low=0.25, random=0.0, pretrain=0.0), 0)
    a = run["teacher"].attention(run["teacher"].encoder(batch.x))
    assert len({tuple(k) for k in batch.kept.tolist()}) > 1
    for row, kept in zip(a, batch.kept, strict=True):
        order = row.argsort(descending=True)
        assert kept[order].tolist()[4:] == [True, True, False, False] and kept[order[:4]].sum() == 2


def test_a_share_at_random_and_nothing_before_it_begins(double):
    _, batch = at(mhim(high=0.0, random=0.5, pretrain=0.0), 3)
    assert (batch.kept.sum(1) == 4).all()
    assert at(mhim(random=0.5, pretrain=0.5), 11)[1].kept.all() and not at(mhim(random=0.5, pretrain=0.5), 12)[1].kept.all()


def test_easy_instances_come_back_along_half_a_cosine(double):
    gone = lambda step: (~at(mhim(high=0.5, among=1.0, random=0.0, pretrain=0.0), step)[1].kept).sum(1).unique().tolist()
    assert [gone(s) for s in (0, 8, 12, 16, 23)] == [[4], [3], [2], [1], [1]]  # ceil(8 * 0.5 * (1 + cos(pi s / 24)) / 2)


def test_the_teacher_is_the_average_to_the_last_bit_and_begins_as_the_student():
    run = start(mhim(decay=0.9, pretrain=0.25), bags(0, small=True), 0, device="cpu")
    fit(run, 6)
    same = lambda: all(map(torch.equal, run["teacher"].state_dict().values(), run["student"].state_dict().values()))
    assert same()
    for _ in range(3):
        before = {k: v.clone() for k, v in run["teacher"].state_dict().items()}
        fit(run, run.step + 1)
        for k, v in run["student"].state_dict().items():
            assert torch.equal(run["teacher"].state_dict()[k], before[k].lerp(v, 1 - run.method.decay))
    assert not same()


def test_consistency_has_no_slope_where_views_and_weights_agree(double):
    """Nothing masked, the same weights, and t 1: cross-entropy to the student's own answer is at its minimum."""
    run, batch = at(mhim(high=0.0, random=0.0, t=1.0, pretrain=0.0, weight=1.0), 2)
    term = run.method.loss(run, batch)["consistency"]
    grads = torch.autograd.grad(term, list(run["student"].parameters()), allow_unused=True)
    assert term.item() == pytest.approx(-(batch.z.softmax(-1) * batch.z.log_softmax(-1)).sum(-1).mean().item())
    assert all(g is None or g.abs().max() < 1e-12 for g in grads)
