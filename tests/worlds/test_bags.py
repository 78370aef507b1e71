"""Bags of digits: who holds a nine, what lies apart, and what the score counts."""

import gzip
import struct

import pytest
import torch

from understudy.core.errors import Sealed
from understudy.core.seal import learning
from understudy.worlds.bags import MOST, auc, bags


def test_a_bag_is_positive_where_it_holds_a_nine_and_nines_are_few():
    data = bags(0).data
    for part, n in ((data.train, 60), (data.valid, 200), (data.test, 400)):
        nines = (part.nines > 0).sum(1)
        assert part.x.shape == (n, 40, 64) and torch.equal(part.y == 1, nines > 0) and part.y.sum() == n // 2
        assert nines[part.y == 1].unique().tolist() == list(range(1, MOST + 1))
    assert 0.4 < (data.test.nines == 2).sum() / (data.test.nines > 0).sum() < 0.6
    assert not torch.equal(data.train.x, bags(1).data.train.x) and torch.equal(data.test.x, bags(1).data.test.x)
    with learning(), pytest.raises(Sealed):
        _ = data.test
    with pytest.raises(Sealed):
        _ = bags(0, small=True).data.test


def test_the_score_against_a_loop():
    score, true = torch.tensor([0.1, 0.4, 0.4, 0.9]), torch.tensor([False, True, False, True])
    assert auc(score, true) == (1 + 0.5 + 1 + 1) / 4 and auc(score, true & False) == 0.5


def test_pictures_from_a_folder(tmp_path):
    """MNIST's four files, of 240 pictures each, halved in size."""
    for name in ("train", "t10k"):
        x, y = torch.randint(0, 256, (240, 28, 28), dtype=torch.uint8), torch.arange(240) % 10
        with gzip.open(tmp_path / f"{name}-images-idx3-ubyte.gz", "wb") as f:
            f.write(struct.pack(">IIII", 2051, 240, 28, 28) + x.numpy().tobytes())
        with gzip.open(tmp_path / f"{name}-labels-idx1-ubyte.gz", "wb") as f:
            f.write(struct.pack(">II", 2049, 240) + y.byte().numpy().tobytes())
    assert bags(0, path=tmp_path).data.train.x.shape == (60, 40, 14 * 14)
