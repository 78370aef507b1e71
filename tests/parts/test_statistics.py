from __future__ import annotations

import torch
from torch import nn

from understudy.parts.statistics import batch_statistics_


def test_a_shifted_batch_is_normalised_by_itself_in_evaluation_too() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).eval()
    nn.init.ones_(net[0].weight)  # so that the epsilon of the variance is nothing
    x = torch.randn(8, 1, 3, 3)
    assert not torch.allclose(net(x), net(5 * x + 3), atol=1e-3)
    assert batch_statistics_(net) is net
    torch.testing.assert_close(net(x), net(5 * x + 3), atol=1e-3, rtol=0)
    assert set(net.state_dict()) == {"0.weight", "0.bias", "1.weight", "1.bias"}
