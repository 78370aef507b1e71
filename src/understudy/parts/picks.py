"""Arrivals of two kinds of waves along a line of sensors: masks to learn them by, picks from a network's answer, and which picks are of
one event."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from understudy.parts.divergence import wide


def masks(arrival: Tensor, length: int, width: float) -> Tensor:
    """Shares of noise and of each kind over time, a bell around each arrival; [N, C, K] samples, NaN none -> [N, 1 + K, C, length],
    which sum to 1. Zhu and Beroza 2019"""
    t = torch.arange(length, device=arrival.device, dtype=arrival.dtype)
    bell = (-((t - arrival[..., None]) / width).square() / 2).exp().nan_to_num(0.0)  # [N, C, K, length]
    bell = bell / bell.sum(2, keepdim=True).clamp(min=1)
    return torch.cat([1 - bell.sum(2, keepdim=True), bell], 2).transpose(1, 2)


def picking(out: Tensor, arrival: Tensor, width: float) -> Tensor:
    """Cross-entropy to those masks, mean over the sensors that have an arrival; [N, 1 + K, C, T], [N, C, K] -> []"""
    target = masks(arrival.to(wide(out)), out.shape[-1], width)
    each = -(target * wide(out).log_softmax(1)).sum(1).mean(-1)
    known = arrival.isfinite().any(-1)
    return each[known].sum() / known.sum().clamp(min=1)


def picks(out: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """Each kind's likeliest sample at each sensor, NaN below that probability, and the probability; [N, 1 + K, C, T] -> [N, C, K] twice"""
    p, t = wide(out).softmax(1)[:, 1:].max(-1)
    return torch.where(p >= least, t.to(p), torch.nan).transpose(1, 2), p.transpose(1, 2)


def travel(along: Tensor, off: Tensor, sensors: int, slowness: Tensor) -> Tensor:
    """Samples from a source to each of a line of sensors, a unit apart, in even ground; [H], [H], [K] -> [H, sensors, K]"""
    far = torch.hypot(torch.arange(sensors, device=along.device) - along[:, None], off[:, None])
    return far[..., None] * slowness


def associated(arrival: Tensor, slowness: Tensor, sigma: float, least: int, rounds: int = 5) -> Tensor:
    """Which picks one source explains: a mixture of a normal distribution around its travel times and an even one over all time,
    fitted by expectation and maximisation for every place on a grid, of which the likeliest is taken (after Zhu et al. 2022, GaMMA).
    Picks that are likelier its than not are kept, if there are `least` of them; [N, C, K] samples, NaN none -> [N, C, K] bool"""
    n, c, k = arrival.shape
    grid = torch.cartesian_prod(torch.linspace(-c, 2 * c, 25), torch.linspace(0.1 * c, 5 * c, 25)).to(arrival)
    late = (arrival[:, None] - travel(grid[:, 0], grid[:, 1], c, slowness.to(arrival))).flatten(2)  # [N, H, C K]
    there = late.isfinite()
    start = late.nanmedian(-1, keepdim=True).values.nan_to_num(0.0)
    late = late.nan_to_num(0.0)
    even = math.log(0.1 / sigma)  # density of a pick that is nobody's, beside a peak of 0.4 / sigma
    for _ in range(rounds):
        near = -((late - start) / sigma).square() / 2 - math.log(sigma * math.sqrt(2 * math.pi))
        own = (near - even).sigmoid() * there
        start = (own * late).sum(-1, keepdim=True) / own.sum(-1, keepdim=True).clamp(min=1e-9)
    best = (torch.logaddexp(near, torch.full_like(near, even)) * there).sum(-1).argmax(1)
    kept = own[torch.arange(n, device=best.device), best] > 0.5
    return (kept & (kept.sum(-1, keepdim=True) >= least)).view(n, c, k)
