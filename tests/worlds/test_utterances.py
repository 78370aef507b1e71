"""Spoken digits: whose labels are there, which takes are kept apart, and what is sung can be heard."""

import pytest
import torch

from understudy.core.errors import Refused, Sealed
from understudy.core.seal import learning
from understudy.worlds.utterances import FEW, SPEAKERS, spoken, utterances
from worlds.test_voices import folder


def test_a_tenth_has_labels_as_many_of_each_digit_and_the_seed_picks_them():
    one, other = utterances(0).data, utterances(1).data
    for data in (one, other):
        y = data.train.y
        assert torch.bincount(y[: data.known]).tolist() == [12] * 10 and (y[data.known :] == -1).all() and len(y) == 1200
        assert len(data.valid.y) == 300 and torch.bincount(data.test.y).tolist() == [30] * 10
    assert not torch.equal(one.train.x[:9], other.train.x[:9]) and torch.equal(one.test.x, other.test.x)
    assert abs(one.train.x.mean()) < 1e-4 and abs(one.train.x.std() - 1) < 1e-3
    with learning(), pytest.raises(Sealed):
        _ = one.test
    with pytest.raises(Sealed):
        _ = utterances(0, small=True).data.test


def test_what_is_sung_can_be_told_apart():
    """Nearest mean of other takes' pictures, far above the one in ten of chance."""
    data = utterances(0, small=True).data
    x, y, take = spoken(FEW)
    assert x.shape == (FEW * SPEAKERS * 10, 4000) and x.isfinite().all() and torch.bincount(y).tolist() == [FEW * SPEAKERS] * 10
    assert torch.equal(x, spoken(FEW)[0]) and data.train.x.shape[1:] == (1, 12, 7)
    loud = x.view(len(x), 20, 200).square().mean(2).log()
    spectrum = torch.fft.rfft(x).abs()[:, :2000].view(len(x), 40, 50).mean(2).log()
    f = torch.cat([loud, spectrum], 1)
    mean = torch.stack([f[(y == k) & (take > 0)].mean(0) for k in range(10)])
    right = (torch.cdist(f[take == 0], mean).argmin(1) == y[take == 0]).double().mean()
    assert right > 0.3


def test_recordings_are_split_by_their_takes(tmp_path):
    folder(tmp_path, [900] * 60)  # row i is take i of digit i % 10
    data = utterances(0, path=tmp_path).data
    assert len(data.test.y) == 5 and len(data.valid.y) == 11 and len(data.train.y) == 44
    assert data.test.y.tolist() == [0, 1, 2, 3, 4] and set(data.valid.y.tolist()) == {0, 5}
    assert (data.train.y[: data.known] >= 0).all() and data.train.x.shape[1:] == (1, 24, 14)
    with pytest.raises(Refused, match=r"index\.csv"):
        utterances(0, path=tmp_path / "nothing")
