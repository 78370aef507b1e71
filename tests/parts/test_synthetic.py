"""Rows that a synthetic data set begins with."""

import torch

from understudy.parts.synthetic import Synthetic, some_of_each


def test_some_of_each_class_and_noise_where_there_are_none():
    x, y = torch.arange(8.0)[:, None] + 100, torch.tensor([0, 2, 0, -1, 2, 0, 2, -1])
    made, labels = some_of_each(x, y, 3, 2)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert set(made[:2, 0].tolist()) <= {100, 102, 105}
    assert set(made[4:, 0].tolist()) <= {101, 104, 106}
    assert (made[2:4].abs() < 10).all()


def test_rows_and_step_size_are_parameters_and_labels_are_not():
    made = Synthetic(torch.zeros(4, 2), torch.arange(4), 0.1)
    assert sorted(n for n, _ in made.named_parameters()) == ["lr", "x"]
    assert "y" in made.state_dict()
