"""PS-TTL: three kinds of rows by a loop; prototypes gather what was labelled; the average to the last bit."""

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.parts.relation import unit
from understudy.parts.restore import flat
from understudy.worlds import WORLDS


def begun(**how):
    return start(get("ps-ttl")(**how), WORLDS["newcomers"](0, small=True), 1, device="cpu")


def test_labels_soft_labels_or_nothing_by_a_loop(double):
    run = begun(low=0.3, high=0.5)
    with stream(1, 0):
        batch = run.method.source(run)
        terms = run.method.loss(run, batch)
    p = run["teacher"](batch.weak).softmax(-1)
    s, f = run.tap("student", "penultimate", batch.strong)
    hard, soft, count = 0.0, 0.0, [0, 0, 0]
    for i, row in enumerate(p):
        log, top = s[i].log_softmax(-1), row.max()
        if top >= 0.5:
            hard, count[0] = hard - log[row.argmax()].item(), count[0] + 1
        elif top >= 0.3:
            q = (10 * unit(run["prototypes"].c) @ unit(f[i])).softmax(-1)
            soft, count[1] = soft + (q * (q.log() - log)).sum().item(), count[1] + 1
        count[2] += top < 0.3
        assert batch.label[i] == (row.argmax() if top >= 0.5 else -1)
    assert min(count[:2]) > 0, f"the case asks for rows of each kind, {count}"
    assert terms["pseudo"].item() == pytest.approx(0.5 * hard / count[0])
    assert terms["soft"].item() == pytest.approx(0.05 * soft / count[1])


def test_the_average_and_the_prototypes_follow(double):
    run = begun(decay=0.9, high=0.0, low=0.0)
    before, c = flat(run["teacher"]).clone(), run["prototypes"].c.clone()
    fit(run, 1)
    assert torch.equal(flat(run["teacher"]), before.lerp(flat(run["student"]), 1 - 0.9))
    assert not torch.equal(c, run["prototypes"].c), "every row was labelled, so some class has moved"
    still = fit(begun(high=1.0, low=1.0), 3)
    torch.testing.assert_close(still["prototypes"].c, c)


def test_prototypes_begin_at_the_few():
    run = begun()
    (few,) = run.world.sweep()
    _, f = run.tap("student", "penultimate", few.x)
    torch.testing.assert_close(run["prototypes"].c, torch.stack([f[few.y == k].mean(0) for k in range(10)]))
