"""Log-mel spectrograms, against Transformers' filters and torch's own transform."""

import numpy as np
import pytest
import torch

from understudy.parts.audio import LogMel, filterbank, hertz, mel, standardised


def test_mel_and_back():
    f = torch.tensor([0.0, 440.0, 1000.0, 6400.0], dtype=torch.double)
    assert mel(f).tolist() == pytest.approx([0, 6.6, 15, 42])
    assert hertz(mel(f)).tolist() == pytest.approx(f.tolist())


@pytest.mark.parametrize(("mels", "n_fft", "rate"), [(26, 256, 8000), (40, 512, 16000)])
def test_filters_are_those_of_transformers(mels, n_fft, rate):
    theirs = pytest.importorskip("transformers.audio_utils").mel_filter_bank(
        n_fft // 2 + 1, mels, 0.0, rate / 2, rate, norm="slaney", mel_scale="slaney"
    )
    assert np.allclose(filterbank(mels, n_fft, rate).numpy(), theirs, atol=1e-12)


def test_a_tone_is_where_it_is_heard():
    t = torch.arange(4000) / 8000
    seen = LogMel(8000, 256, 26)(torch.stack([(2 * torch.pi * f * t).sin() for f in (300.0, 2000.0)]))
    assert seen.shape == (2, 1 + (4000 - 256) // 128, 26)
    centres = hertz(torch.linspace(0, mel(torch.tensor(4000.0)).item(), 28))[1:-1]
    assert (centres[seen.mean(1).argmax(1)] - torch.tensor([300.0, 2000.0])).abs().max() < 150


def test_power_is_that_of_torch():
    x = torch.randn(2, 1000, dtype=torch.double)
    ear = LogMel(8000, 128, 20).double()
    ear.basis = _basis(128)
    power = (
        torch.stft(x, 128, 64, window=torch.hann_window(128, dtype=torch.double), center=False, return_complex=True).abs() ** 2
    )
    assert torch.allclose(ear(x), 10 * (power.mT @ filterbank(20, 128, 8000)).log10(), atol=1e-3)


def _basis(n):
    torch.set_default_dtype(torch.double)
    return LogMel(8000, n, 20).basis


def test_silence_and_noise_have_finite_gradients():
    x = torch.stack([torch.zeros(256), torch.randn(256), 1e4 * torch.randn(256)]).requires_grad_()
    out = LogMel(8000, 64, 8)(standardised(x))
    out.sum().backward()
    assert out.isfinite().all() and x.grad.isfinite().all() and not x.grad[0].any()
