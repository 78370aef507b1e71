"""LeaF."""

import pytest
import torch
import torch.nn.functional as F

from understudy.core import registry
from understudy.core.fit import turns
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.worlds import WORLDS

pytestmark = pytest.mark.usefixtures("double")


def made(**fields):
    run = start(registry.get("leaf")(**fields), WORLDS["distractors"](0, small=True), 0, device="cpu")
    with stream("here"):
        return run, *turns(run)


def nudged(net, row, y, i, eps=1e-5):
    """Norm of the gradient towards the embedding of word i, by differences in each of its directions."""
    table, x = net.lm.transformer.wte, row[None]

    def loss(move):
        handle = table.register_forward_hook(lambda _m, _x, out: out + move)
        out = net(x)[0]
        handle.remove()
        return F.cross_entropy(out, y, ignore_index=-1, reduction="sum").item()

    slopes = []
    for j in range(table.embedding_dim):
        move = torch.zeros(1, len(row), table.embedding_dim)
        move[0, i, j] = eps
        slopes.append((loss(move) - loss(-move)) / (2 * eps))
    return torch.tensor(slopes).norm().item()


def test_confounders_by_differences_and_loops():
    run, batch, _ = made(tau=0.4)
    for i in range(3):
        x, y = batch.x[i], batch.y[i]
        words = range(int((y >= 0).nonzero()[0]))  # all of the prompt but the last, which is asked for the answer
        unit = lambda v: [(a - min(v)) / (max(v) - min(v)) for a in v]
        g = {name: unit([nudged(run[name], x, y, j) for j in words]) for name in ("teacher", "student")}
        d = unit([a - b for a, b in zip(g["teacher"], g["student"], strict=True)])
        first = last = d.index(0.0)
        while first and d[first - 1] <= 0.4:
            first -= 1
        while last + 1 < len(d) and d[last + 1] <= 0.4:
            last += 1
        assert run["cuts"].drop[batch.row[i]].nonzero().flatten().tolist() == list(range(first, last + 1))


def test_each_term_by_hand_row_by_row():
    run, batch, terms = made(lam=0.3, tau=0.3)
    factual, counterfactual = [], []
    for x, y, drop in zip(batch.x, batch.y, run["cuts"].drop[batch.row], strict=True):
        for kept, into in ((torch.ones_like(drop), factual), (~drop, counterfactual)):
            u, s = (run[name](x[kept][None])[0].log_softmax(-1) for name in ("teacher", "student"))
            into.extend((u.exp() * (u - s)).sum(-1)[y[kept] >= 0])
    assert terms["student"]["factual"].item() == pytest.approx(0.3 * torch.stack(factual).mean().item())
    assert terms["student"]["counterfactual"].item() == pytest.approx(0.7 * torch.stack(counterfactual).mean().item())


def test_who_checks_must_be_right_without_what_is_cut_out():
    kept = {check: made(check=check)[0]["cuts"].drop.any(1) for check in ("none", "teacher", "both")}
    assert kept["none"].all() and not (kept["both"] & ~kept["teacher"]).any() and kept["teacher"].sum() < kept["none"].sum()
