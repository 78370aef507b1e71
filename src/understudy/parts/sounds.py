"""Spectrograms in part, stretched, mixed and with hidden frames; by torch's own stream, a row by itself."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from understudy.parts.crops import cropped


def segment(x: Tensor, part: float) -> Tensor:
    """That part of each sound, rounded up, from anywhere in it; [N, 1, B, T] -> [N, 1, B, ceil(part T)]"""
    frames = x.shape[-1]
    length = max(1, min(frames, -int(-part * frames // 1)))
    begin = torch.randint(frames - length + 1, (len(x), 1), device=x.device)
    pick = begin + torch.arange(length, device=x.device)
    return x.gather(3, pick[:, None, None].expand(-1, x.shape[1], x.shape[2], -1))


def stretched(x: Tensor, least: float = 0.6) -> Tensor:
    """A random crop of the picture (`parts.crops`, ratios up to 4/3), read at its old size, as BYOL-A has it (Niizumi et al. 2021);
    [N, 1, B, T] -> [N, 1, B, T]"""
    return F.interpolate(cropped(x, least, 1.0), x.shape[2:], mode="bilinear", align_corners=False)


def mixed(x: Tensor, most: float) -> Tensor:
    """With another row of the batch in the background, a share of up to `most`: log((1 - a) e^x + a e^x'), as sounds mix whose
    log-powers these are (Niizumi et al. 2021); [N, ...] -> [N, ...]"""
    share = (most * torch.rand(len(x), device=x.device, dtype=x.dtype)).view(-1, *(1 for _ in x.shape[1:])).clamp(1e-6, 1 - 1e-6)
    other = x[torch.randperm(len(x), device=x.device)]
    return torch.logaddexp(x + (1 - share).log(), other + share.log())


def blocks(x: Tensor, share: float, run: int) -> Tensor:
    """Which frames are hidden: about that share, in runs of `run` that begin anywhere and may overlap, as wav2vec 2.0 hides them
    (Baevski et al. 2020); at least one a row; [N, 1, B, T] -> [N, T] bool"""
    n, frames = len(x), x.shape[-1]
    run = min(run, frames)
    starts = max(1, round(share * frames / run))
    begin = torch.randint(frames - run + 1, (n, starts, 1), device=x.device)
    place = torch.arange(frames, device=x.device)
    return ((place >= begin) & (place < begin + run)).any(1)
