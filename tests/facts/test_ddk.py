"""DDK."""

import math

import pytest
import torch

from understudy.core import registry
from understudy.core.errors import Refused
from understudy.core.fit import fit, sourced
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.core.world import recast
from understudy.worlds import WORLDS

pytestmark = pytest.mark.usefixtures("double")


def made(**fields):
    return start(registry.get("ddk")(**fields), recast(WORLDS["domains"](0, small=True), steps=9), 0, device="cpu")


def perplexities(run, name):
    """l of a network in each domain, window by window and token by token."""
    rows = run.world.probe()
    logp = run[name](rows.x).dense().log_softmax(-1)
    own = [[] for _ in range(4)]
    for i, domain in enumerate(rows.domain.tolist()):
        own[domain] += [-logp[i, j, y].item() for j, y in enumerate(rows.y[i].tolist())]
    return [math.exp(sum(o) / len(o)) for o in own]


def by_hand(run, before, alpha):
    """Equation 1, or 2 where there is an r before."""
    ratio = [s / t for s, t in zip(perplexities(run, "student"), perplexities(run, "teacher"), strict=True)]
    psi = [r * math.exp(x) for r, x in zip(before or [1] * 4, ratio, strict=True)]
    return [alpha * p / sum(psi) + (1 - alpha) / 4 for p in psi]


@torch.no_grad()
def test_shares_are_those_of_algorithm_1():
    """r_0 by equation 1, and every third of nine steps equation 2, from what the student is at the interval's beginning."""
    run, r = made(interval=1 / 3), None
    for step in range(9):
        if step % 3 == 0:
            r = by_hand(run, r, 0.5 if step else 1.0)
        with torch.enable_grad():
            fit(run, step + 1)
        assert run["domains"].share.tolist() == pytest.approx(r, rel=1e-6), step


def test_rows_are_drawn_by_share_after_the_first_interval():
    run = made(interval=1 / 9)
    assert torch.equal(sourced(run).row, run.world.rows(0).row)
    fit(run, 1)
    run.world = recast(run.world, batch=400)
    with stream("here"):
        batch = sourced(run)
    found = torch.bincount(batch.domain, minlength=4) / 400
    assert found.tolist() == pytest.approx(batch.share[0].tolist(), abs=0.07)
    assert torch.equal(batch.domain, run.world.marks["domain"][batch.row])


def test_a_world_without_domains_is_refused():
    with pytest.raises(Refused, match="domains"):
        start(registry.get("ddk")(), WORLDS["texts"](0, small=True), 0, device="cpu")
