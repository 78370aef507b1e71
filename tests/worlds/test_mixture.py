"""Ridges in the plane, digits from files, and a teacher of many steps."""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path

import pytest
import torch

from understudy.core.errors import Refused, Sealed
from understudy.core.seal import learning
from understudy.worlds import WORLDS
from understudy.worlds.mixture import STD, draw, many_steps


def mnist(folder: Path, rows: int = 60) -> Path:
    """Four small files in MNIST's format, digit k a square of k + 5 pixels."""
    for stem in ("train", "t10k"):
        y = torch.arange(rows) % 10
        x = torch.zeros(rows, 28, 28, dtype=torch.uint8)
        for i, k in enumerate(y.tolist()):
            x[i, 4 : 9 + k, 4 : 9 + k] = 200
        for name, dims, t in ((f"{stem}-images-idx3-ubyte.gz", 3, x), (f"{stem}-labels-idx1-ubyte.gz", 1, y.to(torch.uint8))):
            head = struct.pack(f">{dims + 1}I", 0x800 + dims, *t.shape)
            (folder / name).write_bytes(gzip.compress(head + t.numpy().tobytes()))
    return folder


def test_ridges_have_the_unit_of_edm_and_their_shares() -> None:
    torch.manual_seed(0)
    rows = draw(20000)
    assert rows.x.std().item() == pytest.approx(STD, rel=0.02)
    assert (rows.y.bincount() / 20000).tolist() == pytest.approx([(k + 4) / 60 for k in range(8)], abs=0.01)


def test_rows_depend_on_the_step_alone_and_the_test_split_is_sealed() -> None:
    world = WORLDS["mixture"](3, small=True)
    assert torch.equal(world.rows(5).x, world.rows(5).x)
    with pytest.raises(Sealed):
        world.score(world.student())
    with pytest.raises(Sealed), learning():
        _ = WORLDS["mixture"](3).data.test


def test_the_student_begins_as_the_teacher_and_many_steps_keep_the_noises_shape() -> None:
    world = WORLDS["mixture"](0, small=True)
    z = torch.randn(6, 2)
    assert all(map(torch.equal, world.student().state_dict().values(), world.teacher().state_dict().values()))
    assert many_steps(world.teacher(), z, 3).shape == z.shape


def test_digits_from_files(tmp_path: Path) -> None:
    world = WORLDS["mixture"](0, path=mnist(tmp_path), width=8)
    assert world.rows(0).x.shape == (128, 196)
    assert world.data.train.x.std().item() == pytest.approx(STD, rel=1e-3)
    with pytest.raises(Refused, match="folder"):
        WORLDS["mixture"](0, path=tmp_path / "nowhere")


def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    world = WORLDS["mixture"](0, small=True)
    with pytest.raises(Refused, match="pip install diffusers"):
        many_steps(world.teacher(), torch.randn(4, 2))
