"""Earthquakes along a fibre: arrivals are where waves at these speeds arrive, and labels are for the score alone."""

import json

import numpy as np
import pytest

from understudy.core.errors import Refused, Sealed
from understudy.core.seal import learning
from understudy.worlds.fibre import LENGTH, SENSORS, SLOWNESS, fibre


def test_nobody_is_told_an_arrival_and_the_second_wave_is_later():
    data = fibre(0).data
    assert data.train.y.isnan().all() and data.train.x.shape[1:] == (1, SENSORS, LENGTH)
    y = data.valid.y
    both = y.isfinite().all(-1)
    assert 0.7 < both.double().mean() < 0.99 and (y[..., 1] > y[..., 0])[both].all()
    with learning(), pytest.raises(Sealed):
        _ = data.test


def test_neighbours_are_never_further_apart_than_a_wave_takes():
    y = fibre(0).data.valid.y
    apart = y.diff(dim=1).abs()
    assert (apart <= SLOWNESS + 1e-3)[apart.isfinite()].all() and apart[apart.isfinite()].max() > 0.5 * SLOWNESS.min()


def test_seismograms_from_a_folder(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "waveforms.npz", data=rng.standard_normal((10, 2000, 3)).astype(np.float32))
    told = {f"{i}.npz": {"itp": 1000, "its": 1000 + 100 + 10 * i} for i in range(10)}
    (tmp_path / "picks.json").write_text(json.dumps(told))
    assert fibre(0, path=tmp_path).data.train.x.isfinite().all()
    with pytest.raises(Refused, match=r"waveforms\.npz"):
        fibre(0, path=tmp_path / "nothing")
