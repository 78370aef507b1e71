"""Synthesised voices, and recordings from a folder."""

import csv
import lzma

import numpy as np
import pytest
import torch

from understudy.core.errors import Refused, Sealed
from understudy.core.seal import learning
from understudy.worlds.voices import Splits, annotated, measures, recordings, synthesised, voices


def test_voices_follow_their_feelings_and_their_seed():
    x, feeling = synthesised(64, 3, 2000)
    assert x.shape == (64, 2000) and x.isfinite().all() and feeling.min() >= 0 and feeling.max() <= 1
    again, other = synthesised(64, 3, 2000)[0], synthesised(64, 4, 2000)[0]
    assert torch.equal(x, again) and not torch.equal(x, other)
    said = torch.stack([measures(w.float()) for w in x])
    assert torch.corrcoef(torch.stack([said[:, 0], (feeling[:, 0] - feeling[:, 1]).double()]))[0, 1] > 0.4  # pitch


def test_annotators_disagree_but_not_on_average():
    truth = torch.rand(400, 3)
    few, many = annotated(truth, 3), annotated(truth, 200)
    assert (few - truth).square().mean() > 10 * (many - 0.5 - 1.046 * (truth - 0.5)).square().mean()


def test_test_rows_are_sealed():
    x, truth = synthesised(12, 0, 300)
    data = Splits(x, truth, 3, (6, 9), 0, False)
    assert len(data.test.y) == 3 and torch.equal(data.train.x, data.pool.x[:3]) and torch.equal(data.train.y, data.pool.y[:3])
    with learning(), pytest.raises(Sealed):
        _ = data.test
    with pytest.raises(Sealed):
        _ = voices(0, small=True).data.test


def folder(path, lengths, speakers="ab"):
    waves = [(8000 * np.sin(2 * np.pi * (120 + 40 * i) * np.arange(n) / 8000)).astype(np.int16) for i, n in enumerate(lengths)]
    pcm = np.concatenate(waves)
    with lzma.open(path / "pcm_diff.xz", "wb") as f:
        f.write(np.diff(pcm, prepend=np.int16(0)).astype(np.int16).tobytes())
    stops = np.cumsum(lengths)
    with (path / "index.csv").open("w", newline="") as f:
        table = csv.writer(f)
        table.writerow(["file", "start", "stop", "digit", "speaker", "take"])
        for i, (n, stop) in enumerate(zip(lengths, stops, strict=True)):
            table.writerow([f"{i}.wav", stop - n, stop, i % 10, speakers[i % len(speakers)], i])
    return waves


def test_recordings(tmp_path):
    waves = folder(tmp_path, [3000, 2500, 5000, 1800, 900, 2200])
    x, y, take = recordings(str(tmp_path))
    assert x.shape == (6, 4000) and y.shape == (6, 3) and take.tolist() == list(range(6))
    assert torch.allclose(x[1, :2500] * 2**15, torch.from_numpy(waves[1].astype(np.float32))) and not x[1, 2500:].any()
    assert y.min() >= 0 and y.max() <= 1 and torch.allclose(y[::2].mean(0), torch.tensor(0.5), atol=1e-5)  # within a speaker
    assert (y[::2, 0].diff() > 0).all()  # the pitch rises from one to the next
    assert measures(torch.from_numpy(waves[0].astype(np.float32)))[0].exp().item() == pytest.approx(120, rel=0.05)


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(Refused, match=r"index\.csv"):
        recordings(str(tmp_path))
    folder(tmp_path, [100, 100])
    (tmp_path / "index.csv").write_text("a,b\n1,2\n")
    with pytest.raises(Refused, match="columns"):
        recordings(str(tmp_path))
    (tmp_path / "index.csv").write_text("digit,speaker,start,stop,take\n0,a,0,999999,0\n")
    with pytest.raises(Refused, match="samples"):
        recordings(str(tmp_path))
