"""Rows of several kinds of tokens, some missing, and answers that hang on what they shouldn't: on how frequent classes are, on usual words.

x {name: numbers of words [N, L], or vectors [N, L, D]}. Zhong et al. 2025 (CIDer).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.parts.divergence import mean, wide


def scattered(x: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Which tokens are missing, each with that chance, from torch's own stream; -> {name: bool [N, L]}"""
    return {name: torch.rand(t.shape[:2], device=t.device) < share for name, t in x.items()}


def without(x: Mapping[str, Tensor], gone: Mapping[str, Tensor], unknown: int) -> dict[str, Tensor]:
    """An unknown word, or zeros, in place of tokens that are gone {name: bool [N, L]}; -> like x"""
    return {k: t.masked_fill(gone[k], unknown) if t.dim() == 2 else t * ~gone[k][..., None] for k, t in x.items()}


def rebuilt(said: Tensor, x: Tensor, gone: Tensor) -> Tensor:
    """Smooth L1 of tokens that were gone [N, L], mean over them and their values, 0 where none were; [N, L, D] twice -> []"""
    return mean(F.smooth_l1_loss(wide(said), wide(x), reduction="none").mean(-1)[gone], False)


def features(x: Mapping[str, Tensor], words: int) -> list[Tensor]:
    """The mean over a row's tokens of each kind, of words how often each is there; -> [N, D] or [N, words] each"""
    return [(F.one_hot(t, words).to(torch.get_default_dtype()) if t.dim() == 2 else t).mean(1) for t in x.values()]


def strata(f: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """The mean of each class's rows, 0 for one without any, and what share of the labelled rows it has; [N, D], [N] of -1 ..
    classes-1 -> [classes, D], [classes]"""
    member = F.one_hot(y[y >= 0], classes).to(f)
    count = member.sum(0)
    return member.T @ f[y >= 0] / count.clamp(min=1)[:, None], count / count.sum().clamp(min=1)


def usual(ids: Tensor, words: int, share: float) -> Tensor:
    """Which words are in so many of the rows; [N, L] -> bool [words]"""
    return (F.one_hot(ids, words).amax(1).sum(0) >= share * len(ids)) if len(ids) else torch.zeros(words, dtype=torch.bool)


class Stratified(nn.Module):
    """A network whose answer is a mean over classes i as a confounder (backdoor adjustment), in logarithms:

        log sum_i P(i) softmax(W_i [z, e(f_i)])

    z is what the network's head reads; f_i the mean features of a class, one tensor a kind [K, D], told by an encoder for each
    kind. With one stratum for all rows it is a linear head. fair=True: all P are alike, and so are all features, as for rows from
    elsewhere; -> [N, classes]
    """

    means: Tensor
    share: Tensor

    def __init__(self, inner: nn.Module, means: Sequence[Tensor], share: Tensor, width: int, classes: int) -> None:
        super().__init__()
        self.inner, own = inner, width // len(means)
        self.inner.head = nn.Identity()
        self.encoders = nn.ModuleList(
            nn.Sequential(nn.Linear(m.shape[1], own), nn.ReLU(), nn.Linear(own, own), nn.ReLU(), nn.Linear(own, own))
            for m in means
        )
        self.judges = nn.ModuleList(nn.Linear(width + own * len(means), classes) for _ in share)
        self.sizes = [m.shape[1] for m in means]
        self.register_buffer("means", torch.cat(list(means), 1))
        self.register_buffer("share", share)

    def forward(self, x: Mapping[str, Tensor], fair: bool = False) -> Tensor:
        z, means, share = self.inner(x), self.means, self.share
        if fair:
            means, share = means.mean(0, keepdim=True).expand_as(means), torch.ones_like(share) / len(share)
        told = torch.cat([e(m) for e, m in zip(self.encoders, torch.split(means, self.sizes, 1), strict=True)], 1).to(z)
        said = [judge(torch.cat([z, t.expand(len(z), -1)], 1)) for judge, t in zip(self.judges, told, strict=True)]
        each = wide(torch.stack(said, 1)).log_softmax(-1)  # [N, K, classes]
        out: Tensor = (each + share.clamp(min=1e-12).log()[:, None]).logsumexp(1)
        return out


class Corrected(nn.Module):
    """What a `Stratified` network says, less tau times what it says where only usual words are left of text: the others are
    blank, the unknown stay unknown; {text, ...} -> [N, classes]"""

    usual: Tensor

    def __init__(self, inner: Stratified, usual: Tensor, blank: int, unknown: int, tau: float) -> None:
        super().__init__()
        self.inner, self.blank, self.unknown, self.tau = inner, blank, unknown, tau
        self.register_buffer("usual", usual)

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        said: Tensor = self.inner(x, True)
        if not self.tau:
            return said
        ids = x["text"]
        left = ids.masked_fill(~self.usual[ids] & (ids != self.unknown), self.blank)
        out: Tensor = said - self.tau * self.inner({**x, "text": left}, True)
        return out
