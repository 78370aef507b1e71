"""One sweep over the places of a lazy student: the losses of every row, and the gradients of hidden states and heads.

Of T rows only a chunk at a time has logits, in two buffers, and within a chunk only a block of words at a time is worked on, which
stays in the processor's cache. Towards a row's logits z, the gradient of every loss here is

    c w + a softmax(z / t) + a few words of their own

where w is the slope of a divergence from a teacher of every word (`parts.kinds`), and the few words are a label, samples or top-k.
It goes down into hidden states and heads at once, where it is summed up; nothing of the size of the logits outlives a chunk.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import os
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from understudy.core.errors import refuse
from understudy.parts.kinds import Kind
from understudy.parts.lazy import Answer, Lazy, Samples, TopK, add_product, pieces, wide
from understudy.parts.strokes import exp_, fine

COMPILED = os.environ.get("UNDERSTUDY_COMPILE") == "1"
BUDGET = {"cpu": (2 if COMPILED else 1) * 5 * 2**24}  # bytes of both buffers
ELSEWHERE = 2**29
BLOCK = {"cpu": 4096 if COMPILED else 1024}  # words worked on at a time; elsewhere all of a chunk's

Grads = list[Tensor | None]
Few = list[tuple[Tensor, Tensor]]


class Job(NamedTuple):
    """What the student's answer is compared with: kind and p (rows [T], no gradient) for the soft part, y [T] for the hard one."""

    kind: Kind | None
    p: Answer | None
    y: Tensor | None
    t: float


@torch.no_grad()
def sweep(
    job: Job, q: Lazy, weights: tuple[Tensor, Tensor], wanted: tuple[bool, ...] | None
) -> tuple[tuple[Tensor, Tensor], Grads]:
    """Both losses of every row [T] in float64, and the gradients of sum(weights * losses) towards each head's hidden states, weight and
    bias where they are wanted."""
    with torch.autocast(q.device.type, enabled=False):
        return _Sweep(job, q.detach(), weights, wanted).run()


class _Sweep:
    def __init__(self, job: Job, q: Lazy, weights: tuple[Tensor, Tensor], wanted: tuple[bool, ...] | None) -> None:
        if wanted and any(wanted) and any(h.cap for h in q.heads) and len(q.heads) > 1:
            raise refuse("lazy.heads", len(q.heads), "one head where one is soft-capped, for a gradient")
        self.job, self.q, self.weights = job, q, weights
        self.count, device = len(q.hidden), q.device.type
        width = BLOCK.get(device, q.size)
        self.blocks = [slice(a, min(a + width, q.size)) for a in range(0, q.size, width)]
        dtype, sides = wide(q.hidden).dtype, 2 if isinstance(job.p, (Lazy, Tensor)) else 1
        room = 1.0 if dtype == q.hidden.dtype else 1.5  # half precision's gradients are copied once the buffers are gone
        self.chunk = int(room * BUDGET.get(device, ELSEWHERE)) // (dtype.itemsize * q.size * sides)
        self.chunk = max(1, min(self.count, self.chunk))
        self.buffers = [q.hidden.new_empty(self.chunk * q.size, dtype=dtype) for _ in range(sides)]
        self.tensors = [t for h in q.heads for t in (h.hidden, h.weight, h.bias)]
        self.grads: Grads = [torch.zeros_like(t, dtype=dtype) if t is not None and w else None
                             for t, w in zip(self.tensors, wanted or (False,) * len(self.tensors), strict=True)]  # fmt: skip
        self.values = fine(q.hidden.new_zeros(2, self.count, dtype=dtype))
        self.strokes = strokes_for(device, dtype)
        torch.empty(2**22)  # let go at once: glibc then keeps what is as large, instead of asking for new pages each time

    def run(self) -> tuple[tuple[Tensor, Tensor], Grads]:
        for first in range(0, self.count, self.chunk):
            self._rows(slice(first, min(first + self.chunk, self.count)))
        self.buffers.clear()  # before half precision's gradients are copied
        for i, (g, t) in enumerate(zip(self.grads, self.tensors, strict=True)):
            self.grads[i] = g if g is None or t is None else g.to(t.dtype)
        return (self.values[0], self.values[1]), self.grads

    def _rows(self, rows: slice) -> None:
        kind, p, y, t = self.job
        z, over = self._project(self.q, 0, rows)
        soft, hard = self.weights[0][rows, None].to(over) / t, self.weights[1][rows, None].to(over)
        w, a, few = None, torch.zeros_like(over), Few()
        if isinstance(p, (Lazy, Tensor)):
            assert kind is not None
            w, over_p = self._project(p, 1, rows)
            sums = [self.strokes.compare(kind, *pair, over, over_p) for pair in zip(z, w, strict=True)]
            value, k = (fine(torch.cat(x, 1)).sum(1, keepdim=True) for x in zip(*sums, strict=True))
            self.values[0][rows], a = value[:, 0], -k.to(over) * soft
        elif p is not None:
            assert kind is not None
            self.values[0][rows], a, few = self._stored(p, kind, rows, over)
            a, few = a * soft, [(ids, x * soft) for ids, x in few]
        if y is not None:
            label = y[rows, None]
            over_1 = over if t == 1 else whole([self.strokes.log_sum_exp(block, t) for block in z]).to(over)
            self.values[1][rows] = (over_1 - t * self._picked(label, len(over)))[:, 0]
            few.append((label, -hard))
            if t == 1:
                a = a + hard
        if not any(g is not None for g in self.grads):
            return
        shares = [self._shared_out(ids, x) for ids, x in few]
        for i, words in enumerate(self.blocks):
            grad = self.strokes.slope(z[i], over, a, None if w is None else w[i], soft)
            if y is not None and t != 1:
                grad += exp_(z[i] * t - over_1) * hard
            for share in shares:
                grad.view(-1).scatter_add_(0, *share[i])
            self._down(grad, z[i], rows, words)

    def _project(self, answer: Lazy | Tensor, side: int, rows: slice) -> tuple[list[Tensor], Tensor]:
        """Logits over the temperature of a chunk, by blocks, and their log-normaliser [m, 1]."""
        m, t, over = rows.stop - rows.start, self.job.t, []
        z = [self.buffers[side][m * w.start : m * w.stop].view(m, -1) for w in self.blocks]
        for block, words in zip(z, self.blocks, strict=True):
            if isinstance(answer, Lazy):
                answer.heads[0].logits(rows, words, t, block)
                for head in answer.heads[1:]:
                    block += head.logits(rows, words, t)
            else:
                block.copy_(answer[rows, words]).div_(t)
            over.append(self.strokes.log_sum_exp(block))  # while it is at hand
        return z, whole(over).to(z[0])

    def _stored(self, p: TopK | Samples, kind: Kind, rows: slice, over: Tensor) -> tuple[Tensor, Tensor, Few]:
        """Compare with k words and, of the likeliest, one bucket for all the others; -> value, a, the k words' own, without soft."""
        there, ids = p.ids[rows] >= 0, p.ids[rows].long().clamp(min=0)
        lq = self._picked(ids, len(over)) - over
        if isinstance(p, Samples):
            n = p.weights[rows].to(lq) * there
            entropy = 0 if p.entropy is None else p.entropy[rows].to(lq)
            return -(n * lq).sum(1) - entropy, n.sum(1, keepdim=True), [(ids, -n)]
        lp = p.logp[rows].to(lq).masked_fill(~there, -math.inf)
        q = lq.exp() * there
        lp, lq = (
            torch.cat([x, (1 - mass.sum(1, keepdim=True)).clamp(min=1e-9).log()], 1) for x, mass in ((lp, lp.exp()), (lq, q))
        )
        real = torch.cat([there, torch.ones_like(there[:, :1])], 1)
        f, w = (torch.where(real, x, 0.0) for x in kind.terms(lp, lq, lp.exp(), lq.exp()))
        tail = w[:, -1:] / lq[:, -1:].exp()  # what a word of the tail gets, times q
        return f.sum(1), tail - w.sum(1, keepdim=True), [(ids, w[:, :-1] - tail * q)]

    def _shared_out(self, ids: Tensor, x: Tensor) -> Few:
        """For each block of words the places in it that these [m, k] belong to, and what is to be added there."""
        width = self.blocks[0].stop
        block, row = ids // width, torch.arange(len(ids), device=ids.device)[:, None]
        place = (row * (self.q.size - block * width).clamp(max=width) + ids % width).flatten()
        if len(self.blocks) == 1:
            return [(place, x.flatten())]
        order = block.flatten().argsort(stable=True)
        counts = torch.bincount(block.flatten(), minlength=len(self.blocks)).tolist()
        return list(zip(place[order].split(counts), x.flatten()[order].split(counts), strict=True))  # type: ignore[no-untyped-call]

    def _picked(self, ids: Tensor, m: int) -> Tensor:
        """The student's logits over the temperature, of some words of each row; ids [m, k] -> [m, k]"""
        width = self.blocks[0].stop
        start = ids // width * width
        wide_ = (self.q.size - start).clamp(max=width)
        return self.buffers[0].take(m * start + torch.arange(m, device=ids.device)[:, None] * wide_ + ids - start)

    def _down(self, grad: Tensor, z: Tensor, rows: slice, words: slice) -> None:
        """From logits to heads."""
        for i, h in enumerate(self.q.heads):
            g = grad if h.cap is None else grad * (1 - (z * (self.job.t / (h.cap * h.factor))).square())
            g = g if h.scale * h.factor == 1 else g * (h.scale * h.factor)
            hidden, weight, bias = self.grads[3 * i : 3 * i + 3]
            parts = pieces(g, h.weight)
            if hidden is not None:
                add_product(hidden[rows], parts, h.weight[words].mT)
            if weight is not None:
                add_product(weight[words], tuple(part.mT for part in parts), h.hidden[rows].mT)
            if bias is not None:
                bias[words] += g.sum(0)


def whole(parts: list[Tensor]) -> Tensor:
    """log sum exp of a row from those of its blocks; -> [m, 1]"""
    return torch.cat(parts, 1).logsumexp(1, keepdim=True)


@functools.cache
def strokes_for(device: str, dtype: torch.dtype) -> ModuleType:
    """The passes over a block that suit best."""
    triton = device == "cuda" and dtype == torch.float32 and importlib.util.find_spec("triton") is not None
    return importlib.import_module("understudy.parts.strokes" + ("_triton" * triton or "_compiled" * COMPILED))
