"""The tiny network of the authors' public model card, for raw audio (Kounades-Bastian et al., 2024)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from understudy.parts.audio import LogMel, standardised


class Wav2Small(nn.Module):
    """Seven 3 x 3 convolutions on a log-mel spectrogram, attention over time, and what its channels have in common.

    With the defaults it is built as "Wav2Small2.0" of the card: 10,806 weights that learn, and 4,224 of a Fourier transform that
    doesn't. The card says 17 thousand in all, which these and its other buffers don't quite make. The paper's 72 thousand are of
    an earlier form, which no public code that was found pins down. mels must be even. x [N, T] -> [N, out].
    """

    def __init__(self, rate: int = 16000, n_fft: int = 64, mels: int = 26, channels: int = 13, out: int = 3) -> None:
        super().__init__()
        conv = lambda c: nn.Sequential(nn.Conv2d(c, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
        self.ear = LogMel(rate, n_fft, mels)
        self.stage1 = nn.Sequential(conv(1), conv(channels), conv(channels))
        self.stage2 = nn.Sequential(nn.MaxPool2d(3, 2, 1), *(conv(channels) for _ in range(4)))
        self.say, self.heed = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.head = nn.Linear(channels * (mels // 2 + channels), out)

    def forward(self, x: Tensor) -> Tensor:
        f = self.stage2(self.stage1(self.ear(standardised(x))[:, None]))
        f = (self.say(f) * self.heed(f).softmax(2)).sum(2)  # over time; [N, channels, mels / 2]
        told: Tensor = self.head(torch.cat([f, f @ f.mT], 2).flatten(1))
        return told
