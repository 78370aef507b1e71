"""Long-tailed digits: how frequent each class is, whom the seed makes rare, and that both ends are judged alike."""

import gzip
import struct

import numpy as np
import pytest
import torch

from understudy.core.errors import Sealed
from understudy.core.seal import learning
from understudy.worlds.longtail import RATIO, longtail


def test_classes_thin_out_evenly_and_the_seed_says_which():
    one, other = longtail(0).data, longtail(1).data
    for data in (one, other):
        count = torch.bincount(data.train.y)[data.frequency]
        assert count.tolist() == sorted(count.tolist(), reverse=True) and count[0] == 89 and count[-1] == 1
        assert ((count.double() - 89 * RATIO ** (-torch.arange(10) / 9)).abs() <= 1).all()
    assert one.frequency.tolist() != other.frequency.tolist() and torch.equal(one.test.x, other.test.x)
    assert torch.bincount(one.valid.y).tolist() == [30] * 10 and torch.bincount(one.test.y).min() >= 54
    with learning(), pytest.raises(Sealed):
        _ = one.test
    with pytest.raises(Sealed):
        _ = longtail(0, small=True).data.test


def test_files_of_mnists_format(tmp_path):
    for stem, n in (("train", 600), ("t10k", 60)):
        for kind, shape, content in (
            ("images-idx3", (n, 28, 28), np.zeros((n, 28, 28), np.uint8)),
            ("labels-idx1", (n,), np.arange(n, dtype=np.uint8) % 10),
        ):
            head = struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape)
            (tmp_path / f"{stem}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + content.tobytes()))
    world = longtail(0, path=tmp_path)
    assert world.rows(0).x.shape[1:] == (1, 28, 28) and world.student()(world.rows(0).x).shape[-1] == 10
