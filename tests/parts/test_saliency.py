"""How much a token moves the loss."""

import pytest
import torch
from torch import nn

from understudy.core.errors import TapError
from understudy.parts.saliency import sensitivity, unit_range


class Sum(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.weight = nn.Embedding(4, 2), torch.tensor([1.0, 2.0, 3.0])

    def forward(self, x):
        return (self.table(x) * self.weight[:, None]).sum((1, 2))


def test_a_linear_loss_has_its_weights_as_gradients():
    net = Sum().requires_grad_(False)
    found = sensitivity(net, "table", torch.tensor([[0, 1, 1], [3, 2, 0]]), lambda out: (out * torch.tensor([1.0, 10.0])).sum())
    assert torch.allclose(found, torch.tensor([[1.0, 2, 3], [10, 20, 30]]) * 2**0.5)
    assert not net.table._forward_hooks and all(p.grad is None for p in net.parameters())
    with pytest.raises(TapError, match="tabel"):
        sensitivity(net, "tabel", torch.tensor([[0, 1, 1]]), torch.sum)


def test_unit_range_of_the_marked():
    v, where = (
        torch.tensor([[4.0, 2, 3, 9], [5, 5, 5, 0], [1, 2, 3, 4]]),
        torch.tensor([[1, 1, 1, 0], [1, 1, 1, 0], [0] * 4]).bool(),
    )
    assert unit_range(v, where).tolist() == [[1.0, 0.0, 0.5, 1.0], [1.0] * 4, [1.0] * 4]
