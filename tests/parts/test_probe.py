"""A linear reader in closed form."""

from __future__ import annotations

import torch

from understudy.parts.probe import Probe


def test_it_is_ridge_regression() -> None:
    """Where its weights are, the gradient of the penalised squared error is 0."""
    f, y = torch.randn(40, 5, dtype=torch.double), torch.arange(40) % 3
    probe = Probe(f, y, 3, ridge=0.1)
    z = (f - f.mean(0)) / f.std(0, correction=0)
    w = probe.w.clone().requires_grad_()
    target = torch.nn.functional.one_hot(y, 3).double()
    ((z @ w + target.mean(0) - target).square().sum() + 0.1 * 40 * w.square().sum()).backward()
    assert w.grad is not None and w.grad.abs().max() < 1e-4


def test_it_reads_what_is_there_and_nothing_else() -> None:
    y = torch.arange(300) % 3
    f = torch.nn.functional.one_hot(y, 3) + 0.1 * torch.randn(300, 3)
    probe = Probe(f, y, 3)
    assert probe.right(f, y) > 0.98 and probe.right(torch.randn(300, 3), y) < 0.6
    assert probe.right(f * 1.0, y) == Probe(7 * f + 2, y, 3).right(7 * f + 2, y)
    assert Probe(torch.zeros(6, 2), y[:6], 3)(torch.zeros(2, 2)).isfinite().all()


def test_several_answers_a_row_by_a_loop() -> None:
    f, y = torch.randn(30, 6), (torch.rand(30, 4) < 0.5).long()
    y[:, 0] = 1
    probe, shares = Probe(f, y, 4), []
    for row, true in zip(f, y, strict=True):
        given = probe(row[None])[0].topk(int(true.sum())).indices
        shares.append(true[given].double().mean())
    torch.testing.assert_close(probe.found(f, y), torch.stack(shares).mean().item())
