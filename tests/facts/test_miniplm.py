"""MiniPLM."""

import pytest
import torch

from understudy.core import registry
from understudy.core.errors import Refused
from understudy.core.fit import sourced
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.methods.language.miniplm import difference
from understudy.worlds import WORLDS

pytestmark = pytest.mark.usefixtures("double")


def logp(net, x, y):
    """log p of each text, word by word, over its length."""
    with torch.no_grad():
        words = net(x).dense().log_softmax(-1)
    return torch.tensor(
        [
            sum(words[i, j, w] for j, w in enumerate(row) if w >= 0) / max(sum(w >= 0 for w in row), 1)
            for i, row in enumerate(y.tolist())
        ]
    )


def test_the_difference_by_hand():
    world = WORLDS["crawl"](0, small=True)
    nets, batch = {"teacher": world.teacher(), "reference": world.reference()}, world.rows(0)
    batch["y"] = batch.y.clone()
    batch.y[0, 3:] = -1  # a short text
    batch.y[1] = -1
    wanted = logp(nets["teacher"], batch.x, batch.y) - logp(nets["reference"], batch.x, batch.y)
    assert difference(nets, batch).tolist() == pytest.approx(wanted.tolist())


@pytest.mark.parametrize("keep", [0.25, 0.5, 1.0])
def test_the_best_are_kept_and_drawn_alike(keep):
    world = WORLDS["crawl"](0, small=True)
    run = start(registry.get("miniplm")(keep=keep), world, 0, device="cpu")
    r = {}
    for batch in world.sweep():
        apart = logp(run["teacher"], batch.x, batch.y) - logp(run["reference"], batch.x, batch.y)
        r |= dict(zip(batch.row.tolist(), apart.tolist(), strict=True))
    best = sorted(r, key=r.get, reverse=True)[: int(keep * len(r))]
    drawn = []
    for step in range(200):
        run.step = step
        with stream("draw", step):
            batch = sourced(run)
        drawn += batch.row.tolist()
        assert torch.equal(batch.y, world.data.train.y[batch.row])
    counts = torch.bincount(torch.tensor(drawn), minlength=world.size)
    assert set(counts.nonzero().flatten().tolist()) == set(best)
    assert counts[best].double().std() < 3 * (len(drawn) / len(best)) ** 0.5


def test_a_world_without_a_reference_is_refused():
    with pytest.raises(Refused, match="reference"):
        start(registry.get("miniplm")(), WORLDS["texts"](0, small=True), 0, device="cpu")
