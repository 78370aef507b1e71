"""Labels that are known, and those that are guessed."""

from __future__ import annotations

import torch

from understudy.parts.labels import labelled, told


def test_known_labels_stand_and_hidden_ones_are_guessed() -> None:
    y, p = torch.tensor([2, -1, 0]), torch.full((3, 3), 1 / 3, dtype=torch.double)
    got = told(y, p)
    assert got[[0, 2]].tolist() == [[0, 0, 1], [1, 0, 0]] and torch.equal(got[1], p[1]) and got.dtype == p.dtype
    assert told(y[:0], p[:0]).shape == (0, 3)
    assert [v.tolist() for v in labelled(y, torch.arange(3))] == [[2, 0], [0, 2]]
