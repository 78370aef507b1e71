"""Prototypes that follow a queue, against a loop."""

from __future__ import annotations

import torch

from understudy.core.seeds import stream
from understudy.parts.prototypes import Moving, Queued


def test_they_follow_the_last_of_each_class() -> None:
    with stream("queued"):
        first, later = torch.randn(6, 3), [(torch.randn(5, 3), torch.randint(-1, 3, (5,))) for _ in range(6)]
    y = torch.tensor([0, 1, 1, 0, -1, 1])
    made, kept = Queued(first, y, 3, room=4), [[f for f, k in zip(first, y, strict=True) if k == c] for c in range(3)]
    c = torch.stack([torch.stack(q).mean(0) if q else torch.zeros(3) for q in kept])
    torch.testing.assert_close(made.c, c)
    for f, k in later:
        made.add(f, k)
        for row, label in zip(f, k.tolist(), strict=True):
            if label >= 0:
                kept[label] = [*kept[label], row][-4:]
        c = (c + torch.stack([torch.stack(q).mean(0) if q else torch.zeros(3) for q in kept])) / 2
        torch.testing.assert_close(made.c, c)


def test_likeness_is_a_softmax_over_known_classes() -> None:
    made = Queued(torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([0, 2]), 3)
    p = made.soft(torch.tensor([[5.0, 0.0], [1.0, 1.0]]), sharp=2.0)
    torch.testing.assert_close(p[0], torch.tensor([2.0, -torch.inf, 0.0]).softmax(0))
    torch.testing.assert_close(p[1], torch.tensor([0.5, 0.0, 0.5]))
    none = Queued(torch.randn(2, 2), torch.tensor([-1, -1]), 3).soft(torch.randn(4, 2))
    torch.testing.assert_close(none, torch.full((4, 3), 1 / 3))


def test_moving_means_against_a_loop() -> None:
    """The first mean of a class as it is, then a share of the way; a class that a batch lacks stays."""
    with stream("moving"):
        batches = [(torch.randn(5, 3), torch.randint(4, (5,))) for _ in range(6)]
    made, c = Moving(5, 3), {}
    for f, y in batches:
        made.add(f, y, 0.8)
        for k in set(y.tolist()):
            mean = f[y == k].mean(0)
            c[k] = 0.8 * c[k] + 0.2 * mean if k in c else mean
    assert made.known.tolist() == [k in c for k in range(5)] and not made.known[4]
    for k, wanted in c.items():
        torch.testing.assert_close(made.c[k], wanted)
    f = batches[0][0]
    away = torch.stack([torch.exp(-(f - c[k]).norm(dim=1) / 0.7) if k in c else torch.zeros(5) for k in range(5)], 1)
    torch.testing.assert_close(made.near(f, 0.7), away / away.sum(1, keepdim=True))
