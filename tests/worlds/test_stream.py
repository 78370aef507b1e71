"""The stream: the same step brings the same rows, faults come and go, and folders in the formats of MNIST and CIFAR-10 are read."""

import gzip
import io
import struct
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from understudy.core.errors import Refused, Sealed
from understudy.core.world import recast
from understudy.worlds import WORLDS
from understudy.worlds.stream import FAULTS


def test_rows_hang_on_the_step_and_the_split_and_hide_their_labels():
    world = WORLDS["stream"](5)
    a, b = world.rows(99), recast(world, split="valid").rows(99)
    assert torch.equal(a.x, world.rows(99).x) and not torch.equal(a.x, b.x) and (a.y == -1).all()
    assert (world.rows(99, "source").y >= 0).all() and len(world.rows(99, "source").x) == world.batch
    halves = [recast(world, batch=25, ranks=2, rank=r).rows(99).x for r in (0, 1)]
    assert torch.equal(torch.cat(halves), a.x)


def test_a_fault_at_a_time_weak_strong_weak():
    world = WORLDS["stream"](0)
    phases = [world.phase(s) for s in range(world.steps)]
    assert phases == sorted(phases) and set(phases) == set(range(len(FAULTS) + 1)) and phases.count(0) == world.lead
    one = [world.severity(s) for s in range(world.steps) if phases[s] == 3]
    top = one.index(max(one))
    assert one[: top + 1] == sorted(one[: top + 1]) and one[top:] == sorted(one[top:], reverse=True) and max(one) > 0.95
    assert world.severity(0) == 0 and min(one) < 0.3


@pytest.mark.parametrize("shape", [(5, 1, 8, 8), (2, 3, 32, 32), (1, 1, 28, 28)])
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_keeps_the_shape_and_does_nothing_at_none(name, shape):
    x = torch.rand(shape) * 2 - 1
    torch.testing.assert_close(FAULTS[name](x, 0.0), x)
    assert FAULTS[name](x, 1.0).shape == x.shape and not torch.allclose(FAULTS[name](x, 1.0), x, atol=0.05)


def test_labels_of_the_test_split_stay_sealed():
    with pytest.raises(Sealed):
        WORLDS["stream"](0, small=True).score(torch.nn.Identity())


def picture(rng, side, channels):
    return rng.integers(0, 256, (side, side) if channels == 1 else (side, side, 3), dtype=np.uint8)


@pytest.fixture
def mnist(tmp_path):
    rng = np.random.default_rng(0)
    for stem, n in (("train", 60), ("t10k", 24)):
        x, y = np.stack([picture(rng, 28, 1) for _ in range(n)]), np.arange(n, dtype=np.uint8) % 10
        for kind, array in (("images-idx3", x), ("labels-idx1", y)):
            header = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
            (tmp_path / f"{stem}-{kind}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes()))
    return tmp_path


@pytest.fixture
def cifar(tmp_path):
    rng = np.random.default_rng(0)
    for split, n in (("train", 12), ("test", 4)):
        with tarfile.open(tmp_path / f"{split}.tar.xz", "w:xz") as archive:
            for label in ("airplane", "bird", "cat"):
                for k in range(n):
                    file = io.BytesIO()
                    Image.fromarray(picture(rng, 32, 3)).save(file, "JPEG")
                    info = tarfile.TarInfo(f"{split}/{label}/{k:04d}.jpg")
                    info.size = file.tell()
                    file.seek(0)
                    archive.addfile(info, file)
    return tmp_path


@pytest.mark.parametrize(("name", "shape", "rows"), [("mnist", (1, 28, 28), 50), ("cifar", (3, 32, 32), 30)])
@pytest.mark.parametrize("world", ["stream", "lessons"])
def test_folders_of_pictures(world, name, shape, rows, request):
    made = WORLDS[world](0, path=request.getfixturevalue(name))
    b = made.rows(0)
    assert b.x.shape[1:] == shape and made.size == rows and b.x.min() >= -1 and b.x.max() <= 1
    assert made.student()(b.x).shape == (len(b.x), 10)


def test_no_folder_and_damaged_ones_are_refused(tmp_path):
    with pytest.raises(Refused, match="path="):
        WORLDS["stream"](0, path=tmp_path / "nowhere")
    for split in ("train", "test"):
        (tmp_path / f"{split}.tar.xz").write_bytes(b"no archive")
    with pytest.raises(Refused, match="archive"):
        WORLDS["lessons"](0, path=tmp_path)
