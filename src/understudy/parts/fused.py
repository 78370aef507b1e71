"""Projection and divergence in one, chunk by chunk, with the gradient in closed form: the loss of a `Lazy` student.

For a divergence that is a sum over words, D = sum_v F(p_v, q_v) with q = softmax(z / t), the gradient towards the student's logits is

    dD/dz_v = (w_v - q_v sum_u w_u) / t,      w_v = q_v dF/dq_v

so a `Kind` is two functions of the log-probabilities, F and w. Of T rows only a chunk at a time has logits, in two buffers of BUDGET bytes
together, and within a chunk only a block of words at a time is worked on, which stays in the processor's cache. The gradients of
hidden states and heads are summed up on the way, and nothing of the size of the logits outlives a chunk.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from understudy.core.errors import Refused, refuse
from understudy.parts.lazy import Answer, Lazy, Samples, TopK, wide

BUDGET = 2**27  # bytes of both buffers
BLOCK = 2048  # words worked on at a time
Pair = Callable[[Tensor, Tensor], Tensor]


class Kind(NamedTuple):
    """F and w of log-probabilities lp (teacher's), lq (student's); whole: it asks for every word's probability, so samples won't do."""

    name: str
    value: Pair
    slope: Pair
    whole: bool = True


def _xlogx(p: Tensor, lp: Tensor, lq: Tensor) -> Tensor:
    """p (lp - lq), 0 where p is."""
    return torch.where(p > 0, p * (lp - lq), 0.0)


FORWARD = Kind("kl", lambda lp, lq: _xlogx(lp.exp(), lp, lq), lambda lp, lq: lp.exp().neg(), whole=False)
REVERSE = Kind("reverse_kl", lambda lp, lq: _xlogx(lq.exp(), lq, lp), lambda lp, lq: lq.exp() * (1 + lq - lp))
VARIATION = Kind(
    "total_variation", lambda lp, lq: (lp.exp() - lq.exp()).abs() / 2, lambda lp, lq: lq.exp() * (lq - lp).sign() / 2
)


def _mix(a: Tensor, b: Tensor, share: float) -> Tensor:
    """log((1 - share) e^a + share e^b), exactly a where a = b; where it is differentiated, nearly so."""
    if torch.is_grad_enabled() and (a.requires_grad or b.requires_grad):
        return torch.logaddexp(a + math.log(1 - share), b + math.log(share))
    low = torch.where(b > a, 1 - share, share)
    mixed: Tensor = torch.maximum(a, b) + torch.log1p(low * torch.expm1(-(a - b).abs()))
    return mixed


@functools.cache
def jensen(beta: float) -> Kind:
    """beta KL(p || m) + (1 - beta) KL(q || m), m = beta p + (1 - beta) q, for 0 < beta < 1; at the ends the two KLs (Agarwal et al. 2024)."""
    if beta in (0.0, 1.0):
        return REVERSE if beta else FORWARD

    def value(lp: Tensor, lq: Tensor) -> Tensor:
        m = _mix(lq, lp, beta)
        return beta * _xlogx(lp.exp(), lp, m) + (1 - beta) * _xlogx(lq.exp(), lq, m)

    return Kind(f"jensen({beta:g})", value, lambda lp, lq: (1 - beta) * lq.exp() * (lq - _mix(lq, lp, beta)))


@functools.cache
def skew(alpha: float) -> Kind:
    """KL(p || alpha p + (1 - alpha) q), 0 <= alpha < 1 (Ko et al. 2024, DistiLLM)."""
    if alpha == 0:
        return FORWARD
    return Kind(f"skew({alpha:g})", lambda lp, lq: _xlogx(lp.exp(), lp, _mix(lq, lp, alpha)),
                lambda lp, lq: -(1 - alpha) * (lp + lq - _mix(lq, lp, alpha)).exp())  # fmt: skip


@functools.cache
def skew_reverse(alpha: float) -> Kind:
    """KL(q || alpha p + (1 - alpha) q), 0 < alpha <= 1; the skewed reverse KL of DistiLLM has 1 - alpha for alpha."""
    if alpha == 1:
        return REVERSE

    def slope(lp: Tensor, lq: Tensor) -> Tensor:
        above = lq - _mix(lq, lp, alpha)
        return lq.exp() * (above + 1 - (1 - alpha) * above.exp())

    return Kind(f"skew_reverse({alpha:g})", lambda lp, lq: _xlogx(lq.exp(), lq, _mix(lq, lp, alpha)), slope)


@functools.cache
def alpha_beta(alpha: float, beta: float) -> Kind:
    """-1/(alpha beta) sum(p^alpha q^beta - alpha/(alpha+beta) p^(alpha+beta) - beta/(alpha+beta) q^(alpha+beta)), alpha, beta > 0
    (Cichocki et al. 2011)."""
    if not (alpha > 0 and beta > 0):
        raise refuse("alpha_beta", (alpha, beta), "two numbers above 0", "their limits are kl (1, 0) and reverse_kl (0, 1)")
    s = alpha + beta

    def value(lp: Tensor, lq: Tensor) -> Tensor:
        return ((s * lp).exp() * alpha / s + (s * lq).exp() * beta / s - (alpha * lp + beta * lq).exp()) / (alpha * beta)

    return Kind(
        f"alpha_beta({alpha:g}, {beta:g})", value, lambda lp, lq: ((s * lq).exp() - (alpha * lp + beta * lq).exp()) / alpha
    )


def divergence(kind: Kind, p: Answer, q: Lazy, t: float = 1.0, *, each: bool = False) -> Tensor:
    """D(softmax(p / t), softmax(q / t)), the weighted mean over the places that q was asked for, or one a place, [T]. No factor t^2.

    p: the teacher's answer, at as many places: lazy, dense [..., V] or [T, V], or stored. No gradient enters it.
    Raises `Refused` where places, vocabularies or temperatures don't agree, or where the kind asks for more than was stored.
    """
    return _loss(_Job(kind, p, None, t), q, 1.0, 0.0, each)[0]


def nll(q: Lazy, y: Tensor, *, each: bool = False) -> Tensor:
    """-log softmax(q)[y], the weighted mean over the places where y [...] isn't hidden (-1), or one a place, [T]."""
    known = y >= 0
    asked = known if q.asked is None or not q.asked.is_floating_point() else known * q.asked
    return _loss(_Job(None, None, y[known], 1.0), q.at(asked), 0.0, 1.0, each)[1]


def both(kind: Kind, p: Answer, q: Lazy, y: Tensor, t: float, soft: float, hard: float) -> tuple[Tensor, Tensor]:
    """(soft D, hard nll) in one pass over the student's logits: the sum of what `divergence` and `nll` give, times these weights.

    Where y is hidden at a place that is asked for, or known at one that isn't, it takes two.
    """
    known, asked = y >= 0, torch.ones_like(y, dtype=torch.bool) if q.asked is None else q.asked > 0
    if not torch.equal(known, asked):
        return soft * divergence(kind, p, q, t), hard * nll(q, y)
    return _loss(_Job(kind, p, y[known], t), q, soft, hard, False)


class _Job(NamedTuple):
    """What a sweep is to compare: kind and p for the soft part, y [T] for the hard one."""

    kind: Kind | None
    p: Answer | None
    y: Tensor | None
    t: float


def _loss(job: _Job, q: Lazy, soft: float, hard: float, each: bool) -> tuple[Tensor, Tensor]:
    q = q.rows()
    job = _fitting(job, q)
    count = len(q.hidden)
    if each:
        weight = wide(q.hidden).new_ones(count)
    else:
        weight = wide(q.hidden).new_full((count,), 1 / max(count, 1)) if q.asked is None else q.asked / q.asked.sum()
    tensors = [t for h in q.heads for t in (h.hidden, h.weight, h.bias)]
    out: tuple[Tensor, Tensor] = _Fused.apply(job, q, (soft * weight, hard * weight), each, *tensors)  # type: ignore[no-untyped-call]
    return out


def _fitting(job: _Job, q: Lazy) -> _Job:
    """The job with the teacher's places in rows, once it is seen that they are the student's."""
    p, count = job.p, len(q.hidden)
    if p is None:
        return job
    assert job.kind is not None
    if isinstance(p, Lazy):
        if p.requires_grad:
            raise refuse("p", "a lazy answer with a gradient", "one without: only the student's side learns here", "detach it")
        p = p.rows()
    elif isinstance(p, Tensor):
        p = p.detach().flatten(0, -2)
    places, words = (
        (len(p.hidden), p.size)
        if isinstance(p, Lazy)
        else (len(p), p.shape[-1])
        if isinstance(p, Tensor)
        else (len(p.ids), q.size)
    )
    if places != count:
        raise refuse(
            "p", f"{places} places", f"the {count} that the student was asked for", "both need the same mask, shifted once"
        )
    if words != q.size:
        raise refuse(
            "p", f"{words} words", f"the student's vocabulary of {q.size}", "two tokenizers: use a method that aligns them (uld)"
        )
    if isinstance(p, (TopK, Samples)):
        if p.t != job.t:
            raise refuse(
                "t", job.t, f"{p.t:g}, the temperature that the stored answers were asked at", "label again at the other one"
            )
        if isinstance(p, Samples) and job.kind.whole:
            raise refuse(
                "signal",
                "samples",
                f"'kl': samples say nothing of {job.kind.name}, which asks for every word",
                "store top-k or hidden states",
            )
    return job._replace(p=p)


class _Fused(torch.autograd.Function):
    """(soft, hard) losses; where they are means the gradient is taken on the way forward, else on the way back."""

    @staticmethod
    def forward(
        ctx: Any, job: _Job, q: Lazy, weights: tuple[Tensor, Tensor], each: bool, *tensors: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        ctx.job, ctx.weights, ctx.each = job, weights, each
        ctx.heads, ctx.size = q.detach().heads, q.size
        ctx.save_for_backward(*tensors)
        wanted = ctx.needs_input_grad[4:]
        now = any(wanted) and not each
        values, grads = sweep(job, q, weights, wanted if now else None)
        ctx.grads = grads if now else None
        kind = wide(q.hidden).dtype
        if each:
            return values[0].to(kind), values[1].to(kind)
        soft, hard = ((v * w).sum().to(kind) for v, w in zip(values, weights, strict=True))
        return soft, hard

    @staticmethod
    def backward(ctx: Any, soft: Tensor, hard: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise Refused("a fused divergence has no second derivative: take it of `Lazy.dense()`, with all logits in memory")
        wanted, grads = ctx.needs_input_grad[4:], ctx.grads
        ctx.grads = None  # handed on, not copied: a second pass computes them anew
        uses = [bool(w.any()) for w in ctx.weights] if not ctx.each else [ctx.job.p is not None, ctx.job.y is not None]
        go = [g for g, used in zip((soft, hard), uses, strict=True) if used]
        if grads is not None and all(torch.equal(g, go[0]) for g in go):
            if go and (factor := float(go[0])) != 1:
                for g in grads:
                    if g is not None:
                        g.mul_(factor)
        else:
            tensors = ctx.saved_tensors
            heads = tuple(
                replace(h, hidden=tensors[3 * i], weight=tensors[3 * i + 1], bias=tensors[3 * i + 2])
                for i, h in enumerate(ctx.heads)
            )
            weights = (soft, hard) if ctx.each else (soft * ctx.weights[0], hard * ctx.weights[1])
            grads = sweep(ctx.job, Lazy(heads, ctx.size), weights, wanted)[1]
        return (None, None, None, None, *(g if w else None for g, w in zip(grads, wanted, strict=True)))


Grads = list[Tensor | None]


@torch.no_grad()
def sweep(
    job: _Job, q: Lazy, weights: tuple[Tensor, Tensor], wanted: tuple[bool, ...] | None
) -> tuple[tuple[Tensor, Tensor], Grads]:
    """Both losses of every row [T] in float64, and the gradients of sum(weights * losses) towards each head's hidden states, weight and
    bias where they are wanted."""
    with torch.autocast(q.device.type, enabled=False):
        return _Sweep(job, q.detach(), weights, wanted).run()


class _Sweep:
    """One pass over all rows; z are the student's logits of a chunk, u what the teacher's side of it needs, block by block."""

    def __init__(self, job: _Job, q: Lazy, weights: tuple[Tensor, Tensor], wanted: tuple[bool, ...] | None) -> None:
        self.job, self.q, self.weights, self.wanted = job, q, weights, wanted
        self.count, self.dtype = len(q.hidden), wide(q.hidden).dtype
        width = BLOCK if q.device.type == "cpu" else q.size
        self.blocks = [slice(a, min(a + width, q.size)) for a in range(0, q.size, width)]
        sides = 2 if isinstance(job.p, (Lazy, Tensor)) else 1
        size = wide(q.hidden).element_size() * q.size * sides
        self.chunk = max(1, min(self.count, BUDGET // size))
        self.buffers = [q.hidden.new_empty(self.chunk * q.size, dtype=self.dtype) for _ in range(sides)]
        tensors = [t for h in q.heads for t in (h.hidden, h.weight, h.bias)]
        self.grads: Grads = [torch.zeros_like(t, dtype=self.dtype) if t is not None and wanted and w else None
                             for t, w in zip(tensors, wanted or (False,) * len(tensors), strict=True)]  # fmt: skip
        if wanted and any(wanted) and any(h.cap for h in q.heads) and len(q.heads) > 1:
            raise refuse("lazy.heads", len(q.heads), "one head where one is soft-capped, for a gradient")
        self.values = tuple(q.hidden.new_zeros(self.count, dtype=torch.float64) for _ in range(2))

    def run(self) -> tuple[tuple[Tensor, Tensor], Grads]:
        for first in range(0, self.count, self.chunk):
            self._rows(slice(first, min(first + self.chunk, self.count)))
        tensors = [t for h in self.q.heads for t in (h.hidden, h.weight, h.bias)]
        return (self.values[0], self.values[1]), [
            g if g is None or t is None else g.to(t.dtype) for g, t in zip(self.grads, tensors, strict=True)
        ]

    def _rows(self, rows: slice) -> None:
        job, m = self.job, rows.stop - rows.start
        z, sums = self._project(self.q, self.buffers[0], rows, m, {job.t, 1.0} if job.y is not None else {job.t})
        y = None if job.y is None else job.y[rows]
        if y is not None:
            self.values[1][rows] = sums[1.0] - self._picked(y[:, None], m)[:, 0]
        if job.p is None:
            soft: Callable[[int], Tensor] | None = None
        elif isinstance(job.p, (Lazy, Tensor)):
            soft = self._against_all(job.p, job.kind, z, sums[job.t], rows, m)
        else:
            soft = self._against_some(job.p, job.kind, z, sums[job.t], rows, m)
        if not any(g is not None for g in self.grads):
            return
        for i, words in enumerate(self.blocks):
            grad = None if soft is None else soft(i)
            if y is not None:
                hard = (z[i] - sums[1.0][:, None]).exp_()
                inside = ((y >= words.start) & (y < words.stop)).nonzero().squeeze(1)
                hard[inside, y[inside] - words.start] -= 1
                hard *= self.weights[1][rows, None].to(hard)
                grad = hard if grad is None else grad.add_(hard)
            assert grad is not None
            self._down(grad, z[i], rows, words)

    def _project(
        self, answer: Lazy, buffer: Tensor, rows: slice, m: int, temperatures: set[float]
    ) -> tuple[list[Tensor], dict[float, Tensor]]:
        """Logits of a chunk by blocks, and the log of their softmax' denominator at each temperature, [m]."""
        z = [buffer[m * w.start : m * w.stop].view(m, -1) for w in self.blocks]
        most = {t: buffer.new_full((m,), -math.inf) for t in temperatures}
        total = {t: buffer.new_zeros(m) for t in temperatures}
        for block, words in zip(z, self.blocks, strict=True):
            block.copy_(answer.heads[0].logits(rows, words))
            for head in answer.heads[1:]:
                block += head.logits(rows, words)
            for t in temperatures:
                self._add(block, t, most, total)
        return z, {t: most[t] + total[t].log() for t in temperatures}

    @staticmethod
    def _add(block: Tensor, t: float, most: dict[float, Tensor], total: dict[float, Tensor]) -> None:
        scaled = block if t == 1 else block / t
        highest = torch.maximum(most[t], scaled.amax(1))
        total[t] = total[t] * (most[t] - highest).exp() + (scaled - highest[:, None]).exp_().sum(1)
        most[t] = highest

    def _against_all(
        self, p: Lazy | Tensor, kind: Kind | None, z: list[Tensor], sum_q: Tensor, rows: slice, m: int
    ) -> Callable[[int], Tensor]:
        """Compare with a teacher of every word; -> the soft gradient of block i."""
        assert kind is not None
        t = self.job.t
        if isinstance(p, Lazy):
            u, sums = self._project(p, self.buffers[1], rows, m, {t})
        else:
            u = [self.buffers[1][m * w.start : m * w.stop].view(m, -1).copy_(p[rows, w]) for w in self.blocks]
            most, total = {t: z[0].new_full((m,), -math.inf)}, {t: z[0].new_zeros(m)}
            for block in u:
                self._add(block, t, most, total)
            sums = {t: most[t] + total[t].log()}
        k = z[0].new_zeros(m)
        for a, b in zip(z, u, strict=True):
            lq, lp = a / t - sum_q[:, None], b / t - sums[t][:, None]
            self.values[0][rows] += kind.value(lp, lq).sum(1)
            b.copy_(kind.slope(lp, lq))
            k += b.sum(1)
        weight = (self.weights[0][rows] / t).to(k)[:, None]
        return lambda i: (u[i] - (z[i] / t - sum_q[:, None]).exp_() * k[:, None]) * weight

    def _against_some(
        self, p: TopK | Samples, kind: Kind | None, z: list[Tensor], sum_q: Tensor, rows: slice, m: int
    ) -> Callable[[int], Tensor]:
        """Compare with what was stored: k words and, of the likeliest, one bucket for all the others."""
        assert kind is not None
        t, there = self.job.t, p.ids[rows] >= 0
        ids = p.ids[rows].long().clamp(min=0)
        lq = self._picked(ids, m) / t - sum_q[:, None]
        if isinstance(p, Samples):
            w = p.weights[rows].to(lq) * there
            self.values[0][rows] = -(w * lq).sum(1) - (0 if p.entropy is None else p.entropy[rows].to(lq))
            slopes, share, k = -w, w.sum(1), z[0].new_zeros(m)
        else:
            lp = p.logp[rows].to(lq).masked_fill(~there, -math.inf)
            rest = [(1 - (x.exp() * there).sum(1, keepdim=True)).clamp(min=1e-9).log() for x in (lp, lq)]
            lp, lq_all = torch.cat([lp, rest[0]], 1), torch.cat([lq, rest[1]], 1)
            real = torch.cat([there, torch.ones_like(there[:, :1])], 1)
            self.values[0][rows] = torch.where(real, kind.value(lp, lq_all), 0.0).sum(1)
            w = torch.where(real, kind.slope(lp, lq_all), 0.0)
            k = w.sum(1)
            share = w[:, -1] / rest[1].exp()[:, 0] - k
            slopes = w[:, :-1] - (share + k)[:, None] * lq.exp() * there  # on top of what every word of the tail gets
        weight = (self.weights[0][rows] / t).to(k)

        def soft(i: int) -> Tensor:
            words = self.blocks[i]
            grad = (z[i] / t - sum_q[:, None]).exp_() * (share * weight)[:, None]
            inside = there & (ids >= words.start) & (ids < words.stop)
            return grad.scatter_add_(
                1, (ids - words.start).clamp(0, words.stop - words.start - 1), torch.where(inside, slopes * weight[:, None], 0.0)
            )

        return soft

    def _picked(self, ids: Tensor, m: int) -> Tensor:
        """The student's logits of some words of each row; ids [m, k] -> [m, k]"""
        width = self.blocks[0].stop
        start = ids // width * width
        wide_ = (self.q.size - start).clamp(max=width)
        at = m * start + torch.arange(m, device=ids.device)[:, None] * wide_ + ids - start
        return self.buffers[0].take(at)

    def _down(self, grad: Tensor, z: Tensor, rows: slice, words: slice) -> None:
        """From logits to heads."""
        for i, h in enumerate(self.q.heads):
            g = grad if h.cap is None else grad * (1 - (z / (h.cap * h.factor)).square())
            g = g if h.scale * h.factor == 1 else g * (h.scale * h.factor)
            hidden, weight, bias = self.grads[3 * i : 3 * i + 3]
            if hidden is not None:
                hidden[rows].addmm_(g, wide(h.weight[words]))
            if weight is not None:
                weight[words].addmm_(g.mT, wide(h.hidden[rows]))
            if bias is not None:
                bias[words] += g.sum(0)
