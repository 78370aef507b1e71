"""Rows under Gaussian noise of standard deviation sigma, and networks D(x + sigma e, sigma) that say what is underneath.

Notation and constants of Karras et al. 2022 (EDM). `data` is the standard deviation of clean rows; sigma is in the same unit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from understudy.parts.divergence import wide


def over(sigma: Tensor, x: Tensor) -> Tensor:
    """One number a row, so that it meets the whole row; [N], [N, ...] -> [N, 1, ...]"""
    return sigma.view(-1, *[1] * (x.dim() - 1))


def noised(x: Tensor, sigma: Tensor) -> Tensor:
    """x + sigma e, e standard normal; [N, ...], [N] -> [N, ...]"""
    return x + over(sigma, x) * torch.randn_like(x)


def karras(u: Tensor, low: float, high: float, rho: float = 7.0) -> Tensor:
    """Noise level at u: `low` at 0, `high` at 1, evenly spaced in sigma^(1/rho) between (eq. 5); [...] -> [...]"""
    a, b = low ** (1 / rho), high ** (1 / rho)
    level: Tensor = (a + u * (b - a)) ** rho
    return level


def precondition(sigma: Tensor, data: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """c_skip, c_out, c_in of D(x) = c_skip x + c_out F(c_in x): F sees and gives numbers of unit variance (table 1); [N] -> 3 x [N]"""
    size = sigma.square() + data**2
    return data**2 / size, sigma * data / size.sqrt(), 1 / size.sqrt()


def denoising(guess: Tensor, x: Tensor, sigma: Tensor, data: float = 0.5) -> Tensor:
    """Mean of (1/sigma^2 + 1/data^2) (D(x + sigma e, sigma) - x)^2 over all numbers: every level counts alike; [N, ...] x 2, [N] -> []"""
    return (over(sigma**-2 + data**-2, x) * (wide(guess) - x).square()).mean()


def matching(x: Tensor, true: Tensor, guess: Tensor, eps: float = 1e-8) -> Tensor:
    """Distribution matching: moves rows from where a denoiser of rows like them would take them to where the data's would.

    Its gradient in x is (guess - true) / mean|x - true|, the mean over each row, over the count of numbers; its value half the mean
    square of that (Yin et al. 2024, eq. 7 of DMD). No gradient reaches the denoisers. [N, ...] x 3 -> []
    """
    with torch.no_grad():
        size = (wide(x) - wide(true)).flatten(1).abs().mean(1).clamp_min(eps)
        pull = (wide(guess) - wide(true)) / over(size, x)
    return 0.5 * (x - (x.detach() - pull)).square().mean()


def simulate(net: nn.Module, z: Tensor, levels: Tensor) -> Tensor:
    """Few-step generation: denoise, put noise of the next lower level on, denoise again ...; z [N, ...] is the first noise of unit
    variance, later ones are fresh (consistency models' sampler, Song et al. 2023, alg. 1). [N, ...], [K] -> [N, ...], 0 where K = 0"""
    x = torch.zeros_like(z)
    for k, level in enumerate(levels):
        x = net(x + level * (torch.randn_like(x) if k else z), level.expand(len(z)))
    return x


class Sampler(nn.Module):
    """A denoiser as a generator of `len(levels)` steps; standard normal noise [N, ...] -> rows [N, ...]"""

    levels: Tensor

    def __init__(self, net: nn.Module, levels: Tensor) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("levels", levels)

    def forward(self, z: Tensor) -> Tensor:
        return simulate(self.net, z, self.levels)
