"""Divergences that are sums over words, D = sum_v F(p_v, q_v), each with the slope that its gradient is made of.

With q = softmax(z), and w_v = q_v dF/dq_v,

    dD/dz_v = w_v - q_v sum_u w_u

so that a multiple of q may be added to w, and is, such that w is 0 wherever p = q: not the difference of two large numbers, but
written in d = log p - log q, by exp(d) - 1 and log(1 + x). A student that equals its teacher has a loss and a gradient of exactly 0.
To F of the two KLs the difference of p and q is added, whose sum is 0, so that an error of a row's normaliser cancels, too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from understudy.core.errors import refuse

Terms = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


class Kind(NamedTuple):
    """terms: F and w of log p (the teacher's), log q (the student's), p and q. whole: it asks for every word's probability, so that
    samples won't do. family and shares say the same to a kernel that can't call `terms`."""

    name: str
    terms: Terms
    family: str
    shares: tuple[float, float] = (0.0, 0.0)
    whole: bool = True

    def value(self, lp: Tensor, lq: Tensor) -> Tensor:
        """F of log-probabilities, differentiable."""
        return self.terms(lp, lq, lp.exp(), lq.exp())[0]


def _gap(lp: Tensor, lq: Tensor) -> Tensor:
    """d; 0 for a word that neither of them says."""
    return (lp - lq).nan_to_num_()


def _above(lp: Tensor, lq: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """log(m / p) and log(m / q) for m = share p + (1 - share) q, through the likelier of p and q."""
    d = _gap(lp, lq)
    less = share if share == 0.5 else (d > 0).to(d) * (1 - 2 * share) + share
    r = torch.log1p(torch.expm1(-d.abs()) * less)
    return r + torch.relu(-d), r + torch.relu(d)


def _forward(lp: Tensor, lq: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    w = q - p
    return p * _gap(lp, lq) + w, w


def _reverse(lp: Tensor, lq: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    w = q * _gap(lq, lp)
    return w + (p - q), w


def _variation(lp: Tensor, lq: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    more = (q - p) / 2
    return more.abs(), q * more.sign() / 2


FORWARD = Kind("kl", _forward, "forward", whole=False)
REVERSE = Kind("reverse_kl", _reverse, "reverse")
VARIATION = Kind("total_variation", _variation, "variation")


@functools.cache
def jensen(beta: float) -> Kind:
    """beta KL(p || m) + (1 - beta) KL(q || m), m = beta p + (1 - beta) q, for 0 < beta < 1; at the ends the two KLs (Agarwal et al. 2024)."""
    if beta in (0.0, 1.0):
        return REVERSE if beta else FORWARD

    def terms(lp: Tensor, lq: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        above_p, above_q = _above(lp, lq, beta)
        w = q * above_q * (beta - 1)
        return w - p * above_p * beta, w

    return Kind(f"jensen({beta:g})", terms, "jensen", (beta, 0.0))


@functools.cache
def skew(alpha: float) -> Kind:
    """KL(p || alpha p + (1 - alpha) q), 0 <= alpha < 1 (Ko et al. 2024, DistiLLM)."""
    if alpha == 0:
        return FORWARD

    def terms(lp: Tensor, lq: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        above_p, above_q = _above(lp, lq, alpha)
        return -p * above_p, q * torch.expm1(-above_q) * ((1 - alpha) ** 2 / alpha)

    return Kind(f"skew({alpha:g})", terms, "skew", (alpha, 0.0))


@functools.cache
def skew_reverse(alpha: float) -> Kind:
    """KL(q || alpha p + (1 - alpha) q), 0 < alpha <= 1; the skewed reverse KL of DistiLLM has 1 - alpha for alpha."""
    if alpha == 1:
        return REVERSE

    def terms(lp: Tensor, lq: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        _, above_q = _above(lp, lq, alpha)
        return -q * above_q, -q * (torch.expm1(-above_q) * (1 - alpha) + above_q)

    return Kind(f"skew_reverse({alpha:g})", terms, "skew_reverse", (alpha, 0.0))


@functools.cache
def alpha_beta(alpha: float, beta: float) -> Kind:
    """-1/(alpha beta) sum(p^alpha q^beta - alpha/(alpha+beta) p^(alpha+beta) - beta/(alpha+beta) q^(alpha+beta)), alpha, beta > 0
    (Cichocki et al. 2011)."""
    if not (alpha > 0 and beta > 0):
        raise refuse("alpha_beta", (alpha, beta), "two numbers above 0", "their limits are kl (1, 0) and reverse_kl (0, 1)")
    s = alpha + beta

    def terms(lp: Tensor, lq: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        d = _gap(lp, lq)
        more, far = d > 0, -d.abs()  # the likelier of p and q stands before the bracket
        top = (s * torch.maximum(lp, lq)).exp()
        whole, part = torch.expm1(s * far), torch.where(more, torch.expm1(beta * far), torch.expm1(alpha * far))
        f = top * (torch.where(more, beta * whole, alpha * whole) / s - part) / (alpha * beta)
        return f, top * (torch.where(more, whole, 0.0) - part) / alpha

    return Kind(f"alpha_beta({alpha:g}, {beta:g})", terms, "alpha_beta", (alpha, beta))
