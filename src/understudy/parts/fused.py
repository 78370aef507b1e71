"""Projection and divergence in one, with the gradient in closed form: the losses of a `Lazy` student.

`divergence` compares it with a teacher, `nll` with labels, `both` does the two in one pass (`parts.sweep`) over logits that are never
all there. The divergences are `parts.kinds`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from understudy.core.errors import Refused, refuse
from understudy.parts.kinds import FORWARD, REVERSE, VARIATION, Kind, alpha_beta, jensen, skew, skew_reverse
from understudy.parts.lazy import Answer, Lazy, Samples, TopK, wide
from understudy.parts.sweep import Job, sweep

__all__ = ["FORWARD", "REVERSE", "VARIATION", "Kind", "alpha_beta", "both", "divergence", "jensen", "nll", "skew", "skew_reverse"]


def divergence(kind: Kind, p: Answer, q: Lazy, t: float = 1.0, *, each: bool = False) -> Tensor:
    """D(softmax(p / t), softmax(q / t)), the weighted mean over the places that q was asked for, or one a place, [T]. No factor t^2.

    p: the teacher's answer, at as many places: lazy, dense [..., V] or [T, V], or stored. No gradient enters it.
    Raises `Refused` where places, vocabularies or temperatures don't agree, or where the kind asks for more than was stored.
    """
    return _loss(Job(kind, p, None, t), q, 1.0, 0.0, each)[0]


def nll(q: Lazy, y: Tensor, *, each: bool = False) -> Tensor:
    """-log softmax(q)[y], the weighted mean over the places where y [...] isn't hidden (-1), or one a place, [T]."""
    known = y >= 0
    asked = known if q.asked is None or not q.asked.is_floating_point() else known * q.asked
    return _loss(Job(None, None, y[known], 1.0), q.at(asked), 0.0, 1.0, each)[1]


def both(kind: Kind, p: Answer, q: Lazy, y: Tensor, t: float, soft: float, hard: float) -> tuple[Tensor, Tensor]:
    """(soft D, hard nll) in one pass over the student's logits: the sum of what `divergence` and `nll` give, times these weights.

    Where y is hidden at a place that is asked for, or known at one that isn't, it takes two.
    """
    known, asked = y >= 0, torch.ones_like(y, dtype=torch.bool) if q.asked is None else q.asked > 0
    if not torch.equal(known, asked):
        return soft * divergence(kind, p, q, t), hard * nll(q, y)
    return _loss(Job(kind, p, y[known], t), q, soft, hard, False)


def _loss(job: Job, q: Lazy, soft: float, hard: float, each: bool) -> tuple[Tensor, Tensor]:
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


def _fitting(job: Job, q: Lazy) -> Job:
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
        ctx: Any, job: Job, q: Lazy, weights: tuple[Tensor, Tensor], each: bool, *tensors: Tensor | None
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
