"""An average is the average it says it is, to the last bit, buffers included."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from understudy.parts.ema import ema_, epoch_ema_, warm


def pair() -> tuple[nn.Module, nn.Module]:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = copy.deepcopy(net)
    net(torch.randn(8, 3))
    with torch.no_grad():
        net[0].weight += 1
    return average, net


@pytest.mark.parametrize("copied", [False, True])
def test_every_number_goes_its_share_of_the_way(copied: bool) -> None:
    average, net = pair()
    before, to = copy.deepcopy(average.state_dict()), net.state_dict()
    ema_(average, net, 0.9, copied=copied)
    buffers = {n for n, _ in net.named_buffers()}
    assert buffers == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    for k, v in average.state_dict().items():
        whole = not v.is_floating_point() or (copied and k in buffers)
        assert torch.equal(v, to[k] if whole else torch.lerp(before[k], to[k], 1 - 0.9)), k
    assert not torch.equal(average[0].weight, before["0.weight"])


def test_once_an_epoch() -> None:
    average, net = pair()
    before = average[0].weight.clone()
    moved = []
    for step in range(7):
        was = average[0].weight.clone()
        assert epoch_ema_(average, net, 0.5, step, 3) != torch.equal(was, average[0].weight)
        moved.append(not torch.equal(was, average[0].weight))
    assert moved == [False, False, True, False, False, True, False]
    torch.testing.assert_close(average[0].weight, 0.25 * before + 0.75 * net[0].weight)


def test_a_warm_average_of_few_is_their_mean() -> None:
    assert [warm(0.99, s) for s in (0, 9, 10**6)] == [0.1, 10 / 19, 0.99]
    value = nn.Linear(1, 1, bias=False)
    average = copy.deepcopy(value)
    seen = [average.weight.item()]
    for step in range(5):
        with torch.no_grad():
            value.weight.fill_(float(step))
        seen.append(float(step))
        ema_(average, value, warm(0.99, step, 2))
        assert average.weight.item() == pytest.approx(sum(seen) / len(seen), abs=1e-6)
