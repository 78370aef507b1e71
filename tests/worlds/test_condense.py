"""Digits to be made few: what a data set is worth, and MNIST's files."""

import gzip
import struct

import pytest
import torch

from understudy.core.batch import Batch
from understudy.core.errors import Refused
from understudy.worlds.condense import condense


def write(folder, name, array):
    array = array.to(torch.uint8)
    head = b"\0\0\x08" + bytes([array.dim()]) + struct.pack(f">{array.dim()}i", *array.shape)
    (folder / f"{name}-ubyte.gz").write_bytes(gzip.compress(head + array.numpy().tobytes()))


@pytest.fixture
def scans(tmp_path):
    for name, n in (("train", 40), ("t10k", 12)):
        write(tmp_path, f"{name}-images-idx3", torch.arange(n)[:, None, None].expand(n, 8, 8))
        write(tmp_path, f"{name}-labels-idx1", torch.arange(n) % 10)
    return tmp_path


@pytest.mark.parametrize("conv", [False, True])
def test_reads_the_four_files(scans, conv):
    world = condense(0, path=scans, conv=conv)
    rows = world.rows(0)
    assert rows.x.shape == (32, 1, 8, 8)
    assert (((rows.x[:, 0, 0, 0] + 1) * 127.5).round().long() % 10 == rows.y).all()
    assert (world.size, len(world.data.valid.y), len(world.data.test.y)) == (33, 7, 12)
    assert world.student()(rows.x).shape == (32, 10)


def test_what_is_not_mnist_is_refused_by_name(scans, tmp_path):
    with pytest.raises(Refused, match="path="):
        condense(0, path=tmp_path / "nowhere")
    (scans / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x08\x01\0\0"))
    with pytest.raises(Refused, match="idx"):
        condense(0, path=scans)


def test_a_data_set_is_worth_what_fresh_students_learn_from_it():
    world = condense(0, pupils=1)
    x, y = world.data.train.x, world.data.train.y
    some, wrong = Batch(x=x[:100], y=y[:100]), Batch(x=x[:100], y=(y[:100] + 1) % 10)
    assert world.validate(some) > 0.7
    assert world.validate(wrong) < 0.2
    assert world.validate(Batch(some, lr=torch.tensor(0.0))) < 0.3  # at its own step size
