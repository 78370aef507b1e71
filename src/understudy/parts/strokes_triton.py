"""The three passes over a block of logits (`parts.strokes`) on CUDA: each reads what it needs once, a program a row, in float32.

Where triton isn't installed or the logits aren't float32, `parts.sweep` takes those in torch.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from understudy.parts.kinds import Kind

BLOCK = 2048  # words at a time


@triton.jit
def _expm1(x):
    """exp(x) - 1; near 0 its series x (1 + x/2 (1 + x/3 (...)))."""
    s = x * 0 + 1
    for i in tl.static_range(8):
        s = 1 + s * x / (9 - i)
    return tl.where(tl.abs(x) < 0.5, x * s, tl.exp(x) - 1)


@triton.jit
def _log1p(x):
    """log(1 + x); near 0 as 2 artanh(x / (2 + x))."""
    a = x / (2 + x)
    s = x * 0
    for i in tl.static_range(9):
        s = s * a * a + 1 / (17 - 2 * i)
    return tl.where(tl.abs(x) < 0.5, 2 * a * s, tl.log(1 + x))


@triton.jit
def _terms(lp, lq, a, b, FAMILY: tl.constexpr):
    """F and w, as in `parts.kinds`."""
    p, q, d = tl.exp(lp), tl.exp(lq), lp - lq
    d = tl.where(d != d, 0.0, tl.minimum(tl.maximum(d, -3e38), 3e38))
    if FAMILY == "forward":
        f, w = p * d - (p - q), q - p  # not + (q - p): that ends the compiler of Triton 3.9.0, for an H100 alone
    elif FAMILY == "reverse":
        f, w = -q * d + (p - q), -q * d
    elif FAMILY == "variation":
        f, w = tl.abs(q - p) / 2, q * (tl.where(q > p, 0.5, 0.0) - tl.where(q < p, 0.5, 0.0))
    elif FAMILY == "alpha_beta":
        whole, part = _expm1(-(a + b) * tl.abs(d)), _expm1(-tl.where(d > 0, b, a) * tl.abs(d))
        top = tl.exp((a + b) * tl.maximum(lp, lq))
        f = top * (tl.where(d > 0, b, a) / (a + b) * whole - part) / (a * b)
        w = top * (tl.where(d > 0, whole, 0.0) - part) / a
    else:
        r = _log1p(_expm1(-tl.abs(d)) * tl.where(d > 0, 1 - a, a))
        above_p, above_q = r + tl.maximum(-d, 0.0), r + tl.maximum(d, 0.0)
        if FAMILY == "jensen":
            w = -q * above_q * (1 - a)
            f = w - p * above_p * a
        elif FAMILY == "skew":
            f, w = -p * above_p, q * _expm1(-above_q) * ((1 - a) * (1 - a) / a)
        else:
            tl.static_assert(FAMILY == "skew_reverse")
            f, w = -q * above_q, -q * (_expm1(-above_q) * (1 - a) + above_q)
    return f, w


@triton.jit
def _log_sum_exp(z, out, words, times, BLOCK: tl.constexpr):
    row, at = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    most, total = tl.full([BLOCK], -float("inf"), tl.float32), tl.zeros([BLOCK], tl.float32)
    for first in range(0, words, BLOCK):
        x = tl.load(z + row * words + first + at, first + at < words, -float("inf")) * times
        higher = tl.maximum(most, x)
        safe = tl.where(higher == -float("inf"), 0.0, higher)
        most, total = higher, total * tl.exp(most - safe) + tl.exp(x - safe)
    top = tl.max(most, 0)
    tl.store(out + row, top + tl.log(tl.sum(total * tl.exp(most - top), 0)))


@triton.jit
def _compare(z, u, over_q, over_p, value, k, words, a, b,
             FAMILY: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    row, at = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    over_q, over_p = tl.load(over_q + row), tl.load(over_p + row)
    fs, ws = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for first in range(0, words, BLOCK):
        here, there = row * words + first + at, first + at < words
        lq, lp = tl.load(z + here, there, -float("inf")) - over_q, tl.load(u + here, there, -float("inf")) - over_p
        f, w = _terms(lp, lq, a, b, FAMILY)
        tl.store(u + here, w, there)
        fs, ws = fs + f, ws + w
    tl.store(value + row, tl.sum(fs, 0))
    tl.store(k + row, tl.sum(ws, 0))


@triton.jit
def _slope(z, over, a, w, c, out, words, DENSE: tl.constexpr, BLOCK: tl.constexpr):
    row, at = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    here, there = row * words + at, at < words
    grad = tl.exp(tl.load(z + here, there, -float("inf")) - tl.load(over + row)) * tl.load(a + row)
    if DENSE:
        grad += tl.load(w + here, there, 0.0) * tl.load(c + row)
    tl.store(out + here, grad, there)


def log_sum_exp(z: Tensor, times: float = 1.0) -> Tensor:
    """log sum_v exp(times z_v); -> [m, 1]"""
    out = z.new_empty(len(z), 1)
    _log_sum_exp[(len(z),)](z, out, z.shape[1], times, BLOCK=BLOCK)
    return out.double()


def compare(kind: Kind, z: Tensor, u: Tensor, over_q: Tensor, over_p: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over words of F and w, [m, 1] each; w takes the place of u."""
    value, k = torch.empty_like(over_q), torch.empty_like(over_q)
    _compare[(len(z),)](z, u, over_q, over_p, value, k, z.shape[1], *kind.shares, FAMILY=kind.family, BLOCK=BLOCK)
    return value, k


def slope(z: Tensor, over: Tensor, a: Tensor, w: Tensor | None, c: Tensor) -> Tensor:
    """c w + a q, in w's place; a, c [m, 1]"""
    out = torch.empty_like(z) if w is None else w
    a, c = a.expand(len(z), 1).contiguous(), c.contiguous()
    _slope[(len(z), triton.cdiv(z.shape[1], BLOCK))](z, over, a, out, c, out, z.shape[1], DENSE=w is not None, BLOCK=BLOCK)
    return out
