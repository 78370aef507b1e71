"""Worlds of few labels: whose labels are there, how rows are dealt out, and real data in their own format."""

import gzip
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from understudy.core.errors import Refused, Sealed
from understudy.core.world import recast
from understudy.worlds.cells import cells
from understudy.worlds.scenes import CLASSES, scenes


def test_labelled_rows_come_first_and_all_rows_come():
    world = cells(0)
    known, size = world.data.known, world.size
    rows = [world.rows(step) for step in range(120)]
    assert all(bool((b.y[:4] >= 0).all() and (b.y[4:] == -1).all()) for b in rows)
    counts = torch.cat([b.row[4:] for b in rows]).bincount(minlength=size)
    assert counts[:known].sum() == 0 and counts[known:].min() == counts[known:].max() == 4, (
        "each of 120 hidden rows four times in 480"
    )
    two = [recast(world, batch=4, ranks=2, rank=r).rows(3).row for r in (0, 1)]
    assert sorted(torch.cat(two).tolist()) == sorted(world.rows(3).row.tolist())


@pytest.mark.parametrize("world", [cells, scenes])
def test_small_worlds_keep_their_test_rows_shut(world):
    with pytest.raises(Sealed):
        world(0, small=True).score(world(0, small=True).student())


def test_boxes_move_with_their_pictures_and_hidden_ones_stay_hidden():
    batch, again = scenes(0).rows(5), scenes(0).rows(5)
    assert torch.equal(batch.x, again.x) and not torch.equal(batch.x, scenes(1).rows(5).x)
    boxes, labels = batch.y["boxes"], batch.y["labels"]
    assert (labels[2:] == -1).all() and (boxes[2:] != boxes[2:]).all() and boxes[:2].isfinite().all()
    for x, box, label in ((batch.x[i, 0], boxes[i, m], labels[i, m]) for i in range(2) for m in range(4)):
        if label < CLASSES:
            x0, y0, x1, y1 = box.round().int().tolist()
            assert x[y0:y1, x0:x1].mean() > x.median(), "a digit is brighter than the ground"


def sections(folder, n=6, side=128):
    for kind in ("image", "label"):
        (folder / "train" / kind).mkdir(parents=True)
        for k in range(n):
            grey = np.zeros((side, side), np.uint8) + (40 * k if kind == "image" else 255)
            grey[:, : 2 + k] = 0
            Image.fromarray(grey).save(folder / "train" / kind / f"{k}.png")


def test_sections_are_read_in_order_and_never_shared(tmp_path):
    sections(tmp_path)
    world = cells(0, path=tmp_path)
    assert [len(world.data.train.x), world.data.known, len(world.data.valid.x), len(world.data.test.x)] == [4, 1, 1, 1]
    assert world.data.test.y[0, 0, :3].tolist() == [1, 1, 1] and world.data.test.y[0, 0, 4] == 0  # the last section's membrane
    assert world.data.train.x.shape[1:] == (1, 64, 64) and (world.data.train.y[1:] == -1).all()


def test_folders_that_hold_something_else_are_refused(tmp_path):
    with pytest.raises(Refused, match=r"train/image/K.png"):
        cells(0, path=tmp_path / "nothing")
    sections(tmp_path)
    (tmp_path / "train" / "label" / "2.png").unlink()
    with pytest.raises(Refused, match=r"2\.png"):
        cells(0, path=tmp_path)
    Image.fromarray(np.zeros((128, 64), np.uint8)).save(tmp_path / "train" / "label" / "2.png")
    with pytest.raises(Refused, match="one size"):
        cells(1, path=str(tmp_path) + "/")


def test_digits_of_mnists_format_are_pasted(tmp_path):
    for stem, n in (("train", 120), ("t10k", 60)):
        pixels = np.zeros((n, 28, 28), np.uint8)
        pixels[:, 4:24, 9:19] = 200
        for kind, shape, content in (
            ("images-idx3", (n, 28, 28), pixels),
            ("labels-idx1", (n,), np.arange(n, dtype=np.uint8) % 10),
        ):
            head = struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape)
            (tmp_path / f"{stem}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + content.tobytes()))
    world = scenes(0, path=tmp_path)
    assert world.data.train.x.shape[1:] == (1, 48, 48) and world.data.valid.y["labels"].max() == CLASSES
