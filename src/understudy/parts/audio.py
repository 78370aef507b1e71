"""From a waveform to what an ear makes of it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from understudy.parts.divergence import wide


def mel(hertz: Tensor) -> Tensor:
    """Pitch as heard: 3 f / 200 below 1 kHz, 15 + 27 log(f / 1000) / log 6.4 above; Slaney (1998), Auditory Toolbox"""
    return torch.where(hertz < 1000, 3 * hertz / 200, 15 + 27 * (hertz.clamp_min(1000) / 1000).log() / math.log(6.4))


def hertz(mels: Tensor) -> Tensor:
    """The inverse of `mel`"""
    return torch.where(mels < 15, 200 * mels / 3, 1000 * ((mels.clamp_min(15) - 15) * math.log(6.4) / 27).exp())


def filterbank(mels: int, n_fft: int, rate: int, low: float = 0.0, high: float | None = None) -> Tensor:
    """Triangles between places equally far apart in mel, each of area 1 over hertz; Slaney (1998); -> [n_fft / 2 + 1, mels]"""
    ends = mel(torch.tensor([low, rate / 2 if high is None else high], dtype=torch.double))
    edges = hertz(torch.linspace(ends[0].item(), ends[1].item(), mels + 2, dtype=torch.double))
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.double)[:, None] * rate / n_fft
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.minimum(rise, fall).clamp_min(0) * 2 / (edges[2:] - edges[:-2])


def standardised(x: Tensor, eps: float = 1e-7) -> Tensor:
    """(x - mean) / sqrt(variance + eps) of each waveform, as wav2vec 2.0 is fed; [N, T] -> [N, T]"""
    x = wide(x)
    x = x - x.mean(-1, keepdim=True)
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()


class LogMel(nn.Module):
    """Log-mel spectrogram in decibels: 10 log10(max(|DFT of Hann-windowed frames|^2 filters, 1e-10)). Frames start every half
    window and none is padded. No gradient where silence is cut off at 1e-10, a finite one elsewhere; nothing is learned.

    x [N, T], T >= n_fft samples -> [N, frames, mels], frames = 1 + (T - n_fft) // (n_fft / 2)
    """

    basis: Tensor
    filters: Tensor

    def __init__(self, rate: int, n_fft: int, mels: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        turn = torch.arange(n_fft, dtype=torch.double)
        angle = 2 * torch.pi * turn[:, None] * torch.arange(n_fft // 2 + 1) / n_fft
        window = (1 - (2 * torch.pi * turn / n_fft).cos()) / 2
        dtype = torch.get_default_dtype()
        self.register_buffer("basis", (window[:, None] * torch.cat([angle.cos(), angle.sin()], 1)).to(dtype), persistent=False)
        self.register_buffer("filters", filterbank(mels, n_fft, rate).to(dtype), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        frames = x.to(self.basis).unfold(-1, self.n_fft, self.n_fft // 2)
        real, imaginary = wide(frames @ self.basis).chunk(2, -1)
        power = wide((real.square() + imaginary.square()) @ self.filters)
        return 10 * power.clamp_min(1e-10).log10()
