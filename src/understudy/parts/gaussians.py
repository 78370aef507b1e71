"""A mixture of Gaussians as a memory: fitted now and then, in buffers, sampled from the step's own stream."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn


class Gaussians(nn.Module):
    """Between `least` and `most` Gaussians over [D], the number by Akaike's criterion; weight 0 marks a place that isn't taken.

    weight [most], mean [most, D], root [most, D, D] (the Cholesky factor of each covariance).
    """

    weight: Tensor
    mean: Tensor
    root: Tensor

    def __init__(self, least: int, most: int, width: int) -> None:
        super().__init__()
        self.least = least
        self.register_buffer("weight", torch.zeros(most))
        self.register_buffer("mean", torch.zeros(most, width))
        self.register_buffer("root", torch.zeros(most, width, width))

    def fit(self, rows: Tensor) -> None:
        """Expectation-maximisation, 30 rounds at most, for each number of Gaussians; the mixture of lowest AIC stays; [M, D] ->"""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        x, seed = rows.detach().cpu().double().numpy(), int(torch.randint(2**31 - 1, ()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a mixture that is still moving, or more places than rows
            numbers = range(self.least, min(len(self.weight), len(x)) + 1)
            tried = [GaussianMixture(k, tol=1e-2, max_iter=30, random_state=seed).fit(x) for k in numbers]
        if not tried:
            return
        best = min(tried, key=lambda mixture: mixture.aic(x))
        roots = torch.linalg.cholesky(torch.as_tensor(best.covariances_))
        for own, found in ((self.weight, best.weights_), (self.mean, best.means_), (self.root, roots)):
            own.zero_()[: len(found)] = torch.as_tensor(found).to(own)

    def sample(self, worth: Tensor, n: int) -> Tensor:
        """Each from a Gaussian drawn in proportion to its worth; [most] -> [n, D]"""
        pick = torch.multinomial(worth, n, replacement=True)
        return self.mean[pick] + (self.root[pick] @ torch.randn_like(self.mean[pick])[..., None])[..., 0]
