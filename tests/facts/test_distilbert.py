"""DistilBERT: the triple loss by hand, what the student begins as, and whom it can't begin as."""

import math

import pytest
import torch

from understudy.core.errors import Refused
from understudy.core.run import start
from understudy.methods import distilbert
from understudy.worlds.encoders import encoders, halfencoders


def test_the_triple_loss_word_by_word(double):
    method = distilbert(ce=3.0, mlm=2.0, cos=0.5, t=2.0)
    run = start(method, halfencoders(1, small=True), 1, device="cpu")
    run.nets.eval()  # no dropout
    batch = run.rows()
    (s, h_s), (u, h_u) = (run.tap(n, "penultimate", batch.x) for n in ("student", "teacher"))
    soft = cosine = hard = words = asked = 0.0
    for n, length in enumerate(batch.x["attention_mask"].sum(1).tolist()):
        for i in range(length):
            p, q = (u[n, i] / 2).softmax(0), (s[n, i] / 2).softmax(0)
            soft += 4 * (p * (p / q).log()).sum().item()
            cosine += 1 - (h_s[n, i] @ h_u[n, i] / (h_s[n, i].norm() * h_u[n, i].norm())).item()
            words += 1
            if batch.y[n, i] >= 0:
                hard, asked = hard - s[n, i].log_softmax(0)[batch.y[n, i]].item(), asked + 1
    got = {k: v.item() for k, v in method.loss(run, batch).items()}
    want = {"hard": 2 * hard / asked, "soft": 3 * soft / words, "cosine": 0.5 * cosine / words}
    assert got.keys() == want.keys() and all(math.isclose(got[k], want[k], rel_tol=1e-9) for k in want)


def test_the_student_begins_as_blocks_of_its_teacher():
    run = start(distilbert(), halfencoders(1), 1, device="cpu")
    student, teacher = (run[n].bert.encoder.layer for n in ("student", "teacher"))
    for mine, theirs in ((student[0], teacher[0]), (student[1], teacher[3])):
        assert all(map(torch.equal, mine.parameters(), theirs.parameters()))
    chance = start(distilbert(start="random"), halfencoders(1), 1, device="cpu")
    assert not torch.equal(chance["student"].head.weight, run["student"].head.weight)


def test_another_width_is_refused():
    with pytest.raises(Refused, match="as wide as its teacher, 32"):
        start(distilbert(), encoders(1, small=True), 1, device="cpu")
