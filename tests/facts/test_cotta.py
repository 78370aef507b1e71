"""CoTTA: what is learned, asked by hand; its average to the last bit; which weights go home, and that the average sees none of it."""

import pytest
import torch

from understudy.core.fit import fit, turns
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.core.seeds import stream
from understudy.parts.augment import jittered
from understudy.parts.restore import flat
from understudy.worlds import WORLDS


def begun(**how):
    return start(get("cotta")(**how), WORLDS["recurring"](0, small=True), 1, device="cpu")


@pytest.mark.parametrize(("threshold", "views"), [(0.0, 3), (1.0, 3)])
def test_the_loss_by_hand(double, threshold, views):
    run = fit(begun(threshold=threshold, views=views), 2)
    with stream(1, 2):
        batch, terms = turns(run)
    with stream(1, 2):
        u = run["teacher"](batch.x) if threshold == 0 else sum(run["teacher"](jittered(batch.x)) for _ in range(views)) / views
    want = -(u.softmax(-1) * run["student"](batch.x).log_softmax(-1)).sum(-1).mean()
    assert terms["student"]["consistency"].item() == pytest.approx(want.item(), rel=1e-12)


def test_the_average_moves_before_weights_go_home(double):
    """With and without restoring, the first step leaves the same average, to the last bit; every weight of the student is either
    what it would have been, or the source's."""
    run, free = begun(restore=0.3, decay=0.9), begun(restore=0.0, decay=0.9)
    before = flat(run["teacher"]).clone()
    fit(run, 1), fit(free, 1)
    s, s_free, home = flat(run["student"]), flat(free["student"]), flat(run["source"])
    assert torch.equal(flat(run["teacher"]), flat(free["teacher"])) and torch.equal(
        flat(run["teacher"]), before.lerp(s_free, 1 - 0.9)
    )
    assert not any(p.requires_grad or p.grad is not None for p in run["teacher"].parameters())
    went = s != s_free
    assert torch.equal(s[went], home[went]) and 0.2 < went.double().mean() < 0.4


def test_all_weights_home_is_the_source_model():
    run = fit(begun(restore=1.0), 3)
    assert torch.equal(flat(run["student"]), flat(run["source"])) and not torch.equal(flat(run["teacher"]), flat(run["source"]))


def test_it_answers_the_same_twice():
    run = fit(begun(threshold=1.0), 2)
    x = run.rows().x
    assert torch.equal(artefact(run)(x), artefact(run)(x)) and not torch.equal(artefact(run)(x), run["teacher"](x))
