"""How sure a network is, by asking it several times: under dropout, of several views, or with weights of a posterior."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core.seeds import stream
from understudy.parts.divergence import wide
from understudy.parts.restore import flat

View = Callable[[Tensor], Tensor]


def dropped(head: Callable[[Tensor], Tensor], features: Tensor, share: float, times: int) -> Tensor:
    """What a head says of features of which each time another share is dropped, Gal and Ghahramani 2016 (Monte Carlo dropout), of the
    last layer only; [N, D] -> logits [T, N, C]"""
    return torch.stack([head(F.dropout(features, share)) for _ in range(times)])


def seen_as(net: nn.Module, x: Tensor, view: View, times: int) -> Tensor:
    """What a network says of so many views of the same rows; [N, ...] -> logits [T, N, C]"""
    return torch.stack([net(view(x)) for _ in range(times)])


def mean_and_spread(p: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of several answers, and how far they lie from it, E |p - E p|^2: 0 where all agree, at most 1 of probabilities;
    [T, N, C] -> [N, C], [N]"""
    mean = p.mean(0)
    return mean, (p - mean).square().sum(-1).mean(0)


class Moments(nn.Module):
    """First and second moments of the weights that training passes through: SWAG's diagonal Gaussian, Maddox et al. 2019. mean and
    variance [P] are plain means over all that was added, the second one around the mean, which squares alone would round away."""

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        zero = torch.zeros_like(flat(net).detach())
        self.register_buffer("mean", zero)
        self.register_buffer("variance", zero.clone())
        self.register_buffer("count", torch.tensor(0))

    @torch.no_grad()
    def add(self, net: nn.Module) -> None:
        weights, before = flat(net), self.mean.clone()
        self.count += 1
        self.mean += (weights - before) / self.count
        self.variance += ((weights - before) * (weights - self.mean) - self.variance) / self.count

    def draw(self) -> Tensor:
        """Weights from the Gaussian; -> [P]"""
        return self.mean + self.variance.sqrt() * torch.randn_like(self.mean)


class Careful(nn.Module):
    """A network that answers with the mean of its logits over several views of a batch, where a first network, the source, isn't sure of
    that batch (its mean confidence is below the threshold); Wang et al. 2022. [N, ...] -> [N, C]"""

    def __init__(self, net: nn.Module, source: Callable[[Tensor], Tensor], view: View, views: int, threshold: float) -> None:
        super().__init__()
        self.net, self.source = net, source
        self.view, self.views, self.threshold = view, views, threshold

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        sure = wide(self.source(x)).softmax(-1).amax(-1).mean()
        plain: Tensor = self.net(x) if sure >= self.threshold else seen_as(self.net, x, self.view, self.views).mean(0)
        return plain


class Repeatable(nn.Module):
    """A network that draws by chance, and draws the same at every call, so that an answer can be given twice."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        with stream("answer"):
            said: Tensor = self.inner(x)
        return said


class Both(nn.Module):
    """Logits of two networks, added; [N, ...] -> [N, C]"""

    def __init__(self, one: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.one, self.other = one, other

    def forward(self, x: Tensor) -> Tensor:
        said: Tensor = self.one(x) + self.other(x)
        return said
