"""One point a class in a space of features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.parts.relation import unit


class Prototypes(nn.Module):
    """Class means [C, D] in a buffer; a class of which no row is labelled has none."""

    c: Tensor
    known: Tensor

    def __init__(self, features: Tensor, y: Tensor) -> None:
        """features [M, D], y [M], -1 where hidden"""
        super().__init__()
        use = y >= 0
        count = torch.bincount(y[use], minlength=max(int(y.max()) + 1, 1) if len(y) else 1)
        total = torch.zeros(len(count), features.shape[1], dtype=features.dtype).index_add_(0, y[use], features[use])
        self.register_buffer("c", total / count.clamp(min=1)[:, None])
        self.register_buffer("known", count > 0)

    def nearest(self, f: Tensor) -> Tensor:
        """The prototype in the most similar direction (cosine), which no gradient reaches; [N, D] -> [N, D]"""
        alike = unit(f.detach()).to(self.c) @ unit(self.c).T
        return self.c[alike.masked_fill(~self.known, -torch.inf).argmax(1)].to(f.dtype)


def soft_means(f: Tensor, p: Tensor) -> Tensor:
    """The mean of each class, rows counting as far as they are said to be of it; 0 where nobody is; [N, D], [N, C] -> [C, D]"""
    return (p.T @ f) / p.sum(0).clamp(min=1e-6)[:, None]


class Queued(nn.Module):
    """Prototypes that follow: of every class the last `room` features, and a point that goes half the way to their mean whenever some
    are added; Gao et al. 2024. It begins at the means of labelled rows; a class without any has no point."""

    c: Tensor
    rows: Tensor
    seen: Tensor

    def __init__(self, features: Tensor, y: Tensor, classes: int, room: int = 128) -> None:
        """features [M, D], y [M], -1 where hidden"""
        super().__init__()
        self.register_buffer("c", features.new_zeros(classes, features.shape[1]))
        self.register_buffer("rows", features.new_zeros(classes, room, features.shape[1]))
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.long))
        self._push(features, y)
        self.c.copy_(self._means())

    def _push(self, f: Tensor, y: Tensor) -> None:
        room = self.rows.shape[1]
        for k in sorted(set(y[y >= 0].tolist())):
            mine = f[y == k].detach()[-room:].to(self.rows)
            self.rows[k, (int(self.seen[k]) + torch.arange(len(mine), device=mine.device)) % room] = mine
            self.seen[k] += len(mine)

    def _means(self) -> Tensor:
        count = self.seen.clamp(1, self.rows.shape[1])
        return self.rows.sum(1) / count[:, None]  # what isn't filled yet is 0

    def add(self, f: Tensor, y: Tensor) -> None:
        """[N, D], [N] (-1 is left out) ->"""
        self._push(f, y)
        self.c.lerp_(self._means(), 0.5)

    def soft(self, f: Tensor, sharp: float = 10.0) -> Tensor:
        """Probabilities by likeness, softmax of `sharp` times the cosine to each class that has a point; [N, D] -> [N, C]"""
        alike = sharp * unit(f.detach()).to(self.c) @ unit(self.c).T
        return F.softmax(alike.masked_fill(self.seen == 0, -1e9), -1)


class Moving(nn.Module):
    """Class means that go a share 1 - m of the way to those of each batch; a class has none before it was seen (ProDA, Zhang et
    al. 2021)."""

    c: Tensor
    known: Tensor

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("c", torch.zeros(classes, width))
        self.register_buffer("known", torch.zeros(classes, dtype=torch.bool))

    @torch.no_grad()
    def add(self, f: Tensor, y: Tensor, m: float) -> None:
        """[N, D], [N] -> ; the first mean of a class is taken as it is"""
        one = F.one_hot(y, len(self.c)).to(f)
        seen = one.sum(0) > 0
        means = soft_means(f, one).to(self.c)
        stay = torch.where(self.known, m, 0.0).where(seen, 1.0)[:, None].to(self.c)
        self.c.copy_(stay * self.c + (1 - stay) * means)
        self.known |= seen

    def near(self, f: Tensor, t: float) -> Tensor:
        """softmax over classes of -|f - c| / t, which no gradient reaches; [N, D] -> [N, C]"""
        apart = torch.cdist(f.detach().to(self.c), self.c) / t
        return F.softmax(-apart.masked_fill(~self.known, 1e9), -1)
