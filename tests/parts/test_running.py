"""Means that follow training."""

import torch

from understudy.parts.running import RunningMeans


def test_by_hand():
    means = RunningMeans(3, 0.75)
    means.add(torch.tensor([1.0, 3.0, 8.0]), torch.tensor([0, 0, 1]))
    assert means.mean.tolist() == [2.0, 8.0, 0.0] and means.known.tolist() == [True, True, False]
    assert means.after(torch.tensor([4.0]), torch.tensor([1])).tolist() == [2.0, 7.0, 0.0]
    assert means.mean.tolist() == [2.0, 8.0, 0.0]  # asking changes nothing
