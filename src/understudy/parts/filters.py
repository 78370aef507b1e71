"""Which of a teacher's answers are believed. A filter keeps rows and changes none; `p` are probabilities [N, C]."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from understudy.parts.boxes import iou


def sure(p: Tensor, threshold: float | Tensor) -> Tensor:
    """Rows whose likeliest class has at least that probability, one number or one for each class [C]; FixMatch's, Sohn et al.
    2020; [N, C] -> [N] bool"""
    top, k = p.max(-1)
    return top >= (threshold.to(p)[k] if isinstance(threshold, Tensor) and threshold.dim() else threshold)


def top_share(p: Tensor, share: float) -> Tensor:
    """Of the rows that are given a class the surest share, ceil(share n_k) of n_k, so that no class is crowded out by easier
    ones; of equals the earlier row. Class-balanced self-training, Zou et al. 2018; [N, C] -> [N] bool"""
    top, k = p.max(-1)
    order = top.argsort(descending=True, stable=True)
    order = order[k[order].argsort(stable=True)]  # class by class, each from its surest row down
    count = torch.bincount(k, minlength=p.shape[-1])
    place = torch.arange(len(k), device=k.device) - (count.cumsum(0) - count)[k[order]]
    most = (share * count.double()).sub(1e-9).ceil()  # 0.1 * 30 is 3, whatever its last bit
    kept = torch.zeros_like(k, dtype=torch.bool)
    kept[order] = place < most[k[order]]
    return kept


def zones(score: Tensor, low: float, high: float) -> Tensor:
    """1 where a score is at least `high`, 0 where it is below `low`, -1 (hidden: neither learned as true nor as false) in
    between; low <= high; [...] -> [...] of -1, 0, 1"""
    return torch.where(score >= high, 1, torch.where(score < low, 0, -1))


def margin(p: Tensor, least: float) -> Tensor:
    """Rows whose likeliest class is ahead of the second by at least that; a single class is ahead of 0; [N, C] -> [N] bool"""
    best = torch.nn.functional.pad(p, (0, 1)).topk(2, -1).values
    return best[..., 0] - best[..., 1] >= least


def agreed(said: Tensor, least: int) -> tuple[Tensor, Tensor]:
    """The label that most of V answers (views, dropout masks, networks) give a row, of equals the smallest, and whether at
    least that many give it. -1 is no answer; a row without any is labelled -1 and not kept; [V, N] -> kept [N] bool, label
    [N]"""
    same = (said[:, None] == said[None]).sum(1) * (said >= 0)  # how many say what this one says
    most = same.amax(0)
    beyond = int(said.max()) + 1 if said.numel() else 0
    label = torch.where((same == most) & (said >= 0), said, beyond).amin(0)
    known = most > 0
    return known & (most >= least), torch.where(known, label, -1)


def overlapping(a: Tensor, b: Tensor, least: float) -> Tensor:
    """Whether a box is where the other one of its pair is: intersection over union of at least that. Of one picture seen twice,
    both in the same frame (see `parts.boxes.carried`); [..., 4] twice, as (left, top, right, bottom) -> [...] bool"""
    return iou(a[..., None, :], b[..., None, :])[..., 0, 0] >= least


def same_shape(a: Tensor, b: Tensor, least: float) -> Tensor:
    """The same of masks; two empty ones agree; [N, ...] bool twice -> [N] bool"""
    a, b = a.flatten(1), b.flatten(1)
    both, either = (a & b).sum(1), (a | b).sum(1)
    return torch.where(either > 0, both / either.clamp(min=1), 1.0) >= least


class SelfAdaptive(nn.Module):
    """FreeMatch's thresholds (Wang et al. 2023), which rise as training goes on: the mean confidence, times how likely a class is
    among the likeliest one. Both means follow training and begin at 1/C.

        tau <- m tau + (1 - m) mean_i max_c p_i(c)      q <- m q + (1 - m) mean_i p_i      tau_c = tau q(c) / max_k q(k)
    """

    confidence: Tensor
    mean: Tensor

    def __init__(self, classes: int, m: float = 0.999) -> None:
        super().__init__()
        self.m = m
        self.register_buffer("confidence", torch.tensor(1 / classes))
        self.register_buffer("mean", torch.full((classes,), 1 / classes))

    def thresholds(self) -> Tensor:
        """-> [C]"""
        return self.confidence * self.mean / self.mean.max()

    def add(self, p: Tensor) -> None:
        """[N, C] ->; no rows change nothing"""
        if len(p):
            self.confidence.lerp_(p.detach().amax(-1).mean().to(self.confidence), 1 - self.m)
            self.mean.lerp_(p.detach().mean(0).to(self.mean), 1 - self.m)


class Curriculum(nn.Module):
    """FlexMatch's thresholds (Zhang et al. 2021), low for classes that are hardly learned yet. Of every row is remembered the
    last class that it was surely (p >= tau) said to be of; while most rows have none, that counts as a class of its own.

        tau_c = tau M(beta_c),  M(b) = b / (2 - b),  beta_c = rows of c / max(rows of any class, rows without one)
    """

    said: Tensor

    def __init__(self, rows: int, classes: int, tau: float = 0.95) -> None:
        super().__init__()
        self.classes, self.tau = classes, tau
        self.register_buffer("said", torch.full((rows,), -1))

    def thresholds(self) -> Tensor:
        """-> [C]"""
        count = torch.bincount(self.said + 1, minlength=self.classes + 1).to(torch.get_default_dtype())
        beta = count[1:] / count.max()
        return self.tau * beta / (2 - beta)

    def add(self, p: Tensor, row: Tensor) -> None:
        """[N, C], numbers of the rows [N] ->"""
        top, k = p.max(-1)
        known = top >= self.tau
        self.said[row[known]] = k[known]
