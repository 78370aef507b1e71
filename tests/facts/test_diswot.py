"""DisWOT: the score by hand, the authors' two losses, and what the search hands over."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.methods import diswot
from understudy.parts.proxy import reborn
from understudy.parts.relation import gram
from understudy.worlds.sizes import sizes


def weights(net):
    return sum(p.numel() for p in net.parameters())


def by_hand(net, x):
    """Class-activation maps of a linear head behind a mean over places, class by class and row by row."""
    features = net.stage3(net.stage2(net.stage1(x)))
    maps = [
        torch.stack([sum(w * f for w, f in zip(net.head.weight[c], row, strict=True)).flatten() for row in features])
        for c in range(10)
    ]
    inner = torch.tensor([[(a * b).sum().item() for b in maps] for a in maps])
    rows = features.flatten(1)
    return F.normalize(inner, dim=1), F.normalize(rows @ rows.T, dim=1)


def test_the_score_is_the_equation(double):
    world, method, size = sizes(0, small=True), diswot(rows=6), (3, 5, 2, 1, 1, 1, 1, 1, 1)
    given, teacher, x = world.student(), sizes(0).student(), next(iter(world.sweep())).x[:6]
    with stream("score"):
        space, worth = method.space(world, given, teacher)
        got = worth(size)
    with stream("score"), torch.no_grad():  # the same draws in the same order
        u, s = by_hand(reborn(teacher), x), by_hand(space.build(size), x)
    assert got == pytest.approx(-sum((a - b).norm().item() for a, b in zip(u, s, strict=True)), rel=1e-9)


def test_relations_are_those_of_the_authors_loss(double):
    """Their script's Similarity: the mean square of the difference of row-normalised Gram matrices, ours before mean and square."""
    u, s = torch.randn(8, 5, 2, 2), torch.randn(8, 3, 4, 4)
    theirs = (F.normalize(u.flatten(1) @ u.flatten(1).T) - F.normalize(s.flatten(1) @ s.flatten(1).T)).square().sum() / 64
    assert ((gram(u) - gram(s)).norm().square() / 64).item() == pytest.approx(theirs.item(), rel=1e-12)


def test_equal_architectures_are_nearer_than_unequal_ones_where_chance_is_equal(double):
    """The score is at most 0, and 0 where both networks are one."""
    world, method = sizes(0, small=True), diswot()
    net, x = world.student().train(), world.rows(0).x
    assert all((a - b).norm() == 0 for a, b in zip(method.seen(net, "stage:-1", x), method.seen(net, "stage:-1", x), strict=True))
    with stream("any"):
        space, worth = method.space(world, world.student(), world.teacher())
        assert all(worth(space.draw()) < 0 for _ in range(10))


def test_what_is_found_fits(double):
    world = sizes(0, small=True)
    for limit in (0.05, 0.2, 0.4):
        found = start(diswot(limit=limit, rounds=20), world, 0, device="cpu")["student"]
        assert weights(found) <= limit * weights(world.student())


def test_the_same_is_found_whatever_the_runs_seed():
    """A run that is resumed builds the network that it was stopped with."""
    world = sizes(0, small=True)
    one, other = (start(diswot(), world, seed, device="cpu")["student"] for seed in (1, 2))
    assert one.config == other.config and not torch.equal(one.head.weight, other.head.weight)


def test_without_an_evolution_it_is_one_that_fits_by_chance():
    world, method = sizes(0, small=True), diswot(rounds=0, population=1)
    given = world.student()
    with stream("diswot", 0):
        space, _ = method.space(world, given, world.teacher())
        drawn = space.within(method.limit * space.weigh(space.largest))
    assert start(dataclasses.replace(method, t=1.0), world, 0, device="cpu")["student"].config == space.settings(drawn)
