"""How far one answer is from another. p is the teacher's side, q the student's; logits in, batch mean out.

All are finite, with finite gradients, at logits of 1e4 and temperatures from 0.01 to 100; half precision is widened to float32.
`each=True` gives one value a row, [N]. Those that a language model is taught by take lazy and stored answers too (`parts.lazy`): a
student's `Lazy` [N, L, V] is compared, or judged, at the places that it was asked for, and its mean is over them.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from understudy.core.errors import refuse
from understudy.parts import fused
from understudy.parts.fused import Kind
from understudy.parts.lazy import Answer, Head, Lazy, Samples, TopK
from understudy.parts.lazy import wide as wide  # noqa: PLC0414 (handed on: most of its users are here)


def mean(rows: Tensor, each: bool) -> Tensor:
    """[N] as it is, or its mean; the mean of no rows is 0."""
    return rows if each else rows.sum() / max(rows.numel(), 1)


def alike(p: Tensor, q: Tensor) -> None:
    """Raises `Refused` where two answers differ in shape: PyTorch would spread the smaller one, and the loss would be of something else."""
    if p.shape != q.shape:
        told = f"the shape of the teacher's answer, {list(p.shape)}"
        raise refuse("student", list(q.shape), told, "both have to answer the same rows for the same classes")


def kl(p_logits: Answer, q_logits: Answer, t: float = 1.0, *, each: bool = False) -> Tensor:
    """t^2 KL(softmax(p/t) || softmax(q/t)), Hinton et al. 2015 with their factor t^2; [N, C], [N, C] -> []"""
    if not isinstance(p_logits, Tensor) or not isinstance(q_logits, Tensor):
        return between(fused.FORWARD, p_logits, q_logits, t, each=each)
    alike(p_logits, q_logits)
    if not (p_logits.requires_grad or each) and len(
        p_logits
    ):  # the fused kernel, whose gradient towards p isn't safe where p is 0
        return t * t * F.kl_div((wide(q_logits) / t).log_softmax(-1), (wide(p_logits) / t).softmax(-1), reduction="batchmean")
    p, q = (wide(p_logits) / t).log_softmax(-1), (wide(q_logits) / t).log_softmax(-1)
    return mean(t * t * (p.exp() * (p - q)).sum(-1), each)


def between(kind: Kind, p: Answer, q: Answer, t: float = 1.0, *, each: bool = False) -> Tensor:
    """t^2 times any divergence of `parts.fused`, of softmax(p/t) and softmax(q/t); [..., C], [..., C] -> []

    q is the student's, a tensor or lazy; p the teacher's, in whatever form. Raises `Refused` where the two don't fit together.
    """
    if isinstance(q, Tensor) and isinstance(p, (TopK, Samples)) and q.dim() == 2:  # of classes, of which there are few
        q = Lazy((Head(wide(q), torch.eye(q.shape[1], device=q.device)),), q.shape[1])
    if isinstance(q, Lazy):
        return t * t * fused.divergence(kind, p, q, t, each=each)
    if isinstance(p, Lazy) and isinstance(q, Tensor):
        q = q if p.asked is None else q[p.asked > 0]
        p = p.detach().rows().dense()
    if not (isinstance(p, Tensor) and isinstance(q, Tensor)):
        raise refuse("student", type(q).__name__, "logits, lazy or not", "stored answers are a teacher's")
    alike(p, q)
    lp, lq = (wide(p) / t).log_softmax(-1).flatten(0, -2), (wide(q) / t).log_softmax(-1).flatten(0, -2)
    return mean(t * t * kind.value(lp, lq).sum(-1), each)


def reverse_kl(p: Answer, q: Answer, t: float = 1.0, *, each: bool = False) -> Tensor:
    """t^2 KL(softmax(q/t) || softmax(p/t)); [..., C], [..., C] -> []"""
    return between(fused.REVERSE, p, q, t, each=each)


def jensen(p: Answer, q: Answer, beta: float = 0.5, t: float = 1.0, *, each: bool = False) -> Tensor:
    """t^2 (beta KL(p || m) + (1 - beta) KL(q || m)), m = beta p + (1 - beta) q; KL(p || q) at beta 0, KL(q || p) at 1.

    Agarwal et al. 2024 (arXiv:2306.13649); [..., C], [..., C] -> []
    """
    return between(fused.jensen(beta), p, q, t, each=each)


def skew_kl(p: Answer, q: Answer, alpha: float = 0.1, t: float = 1.0, *, each: bool = False) -> Tensor:
    """t^2 KL(p || alpha p + (1 - alpha) q), Ko et al. 2024 (arXiv:2402.03898); [..., C], [..., C] -> []"""
    return between(fused.skew(alpha), p, q, t, each=each)


def skew_reverse_kl(p: Answer, q: Answer, alpha: float = 0.1, t: float = 1.0, *, each: bool = False) -> Tensor:
    """t^2 KL(q || (1 - alpha) p + alpha q), Ko et al. 2024 (arXiv:2402.03898); [..., C], [..., C] -> []"""
    return between(fused.skew_reverse(1 - alpha), p, q, t, each=each)


def total_variation(p: Answer, q: Answer, t: float = 1.0, *, each: bool = False) -> Tensor:
    """t^2 sum |p - q| / 2; [..., C], [..., C] -> []"""
    return between(fused.VARIATION, p, q, t, each=each)


def alpha_beta(p: Answer, q: Answer, alpha: float, beta: float, t: float = 1.0, *, each: bool = False) -> Tensor:
    """t^2 times the alpha-beta divergence (Cichocki et al. 2011, eq. 19), alpha and beta above 0; [..., C], [..., C] -> []"""
    return between(fused.alpha_beta(alpha, beta), p, q, t, each=each)


def nll(q: Tensor | Lazy, y: Tensor, *, each: bool = False) -> Tensor:
    """-log softmax(q)[y] over places where y isn't hidden (-1), their mean or one value a place; [..., C], [...] -> []"""
    if isinstance(q, Lazy):
        return fused.nll(q, y, each=each)
    known = y >= 0
    return mean(F.cross_entropy(wide(q)[known], y[known], reduction="none"), each)


def cross_entropy(p_logits: Tensor, q_logits: Tensor, t: float = 1.0, *, each: bool = False) -> Tensor:
    """-sum softmax(p/t) log softmax(q/t), no factor t^2; [N, C], [N, C] -> []"""
    return soft_cross_entropy((wide(p_logits) / t).softmax(-1), wide(q_logits) / t, each=each)


def soft_cross_entropy(p: Tensor, q_logits: Tensor, *, each: bool = False) -> Tensor:
    """-sum p log softmax(q) for probabilities p; [N, C], [N, C] -> []"""
    alike(p, q_logits)
    return mean(-(p * wide(q_logits).log_softmax(-1)).sum(-1), each)


def js(p_logits: Answer, q_logits: Answer, t: float = 1.0, *, each: bool = False) -> Tensor:
    """t^2 (KL(p || m) + KL(q || m)) / 2, m the even mixture; [N, C], [N, C] -> []"""
    return jensen(p_logits, q_logits, 0.5, t, each=each)


def binary_kl(p_logits: Tensor, q_logits: Tensor, t: float = 1.0, *, each: bool = False) -> Tensor:
    """t^2 sum over classes of KL(sigmoid(p/t) || sigmoid(q/t)); [N, C], [N, C] -> []"""
    alike(p_logits, q_logits)
    p, q = wide(p_logits) / t, wide(q_logits) / t
    yes = p.sigmoid() * (F.logsigmoid(p) - F.logsigmoid(q))
    no = (-p).sigmoid() * (F.logsigmoid(-p) - F.logsigmoid(-q))
    return mean(t * t * (yes + no).sum(-1), each)


def even_kl(p_logits: Tensor, q_logits: Tensor, t: float = 1.0, *, each: bool = False) -> Tensor:
    """t^2 sum over classes of KL(1/2 || sigmoid((q - p)/t)), which is 0 where the logits agree; [N, C], [N, C] -> []"""
    alike(p_logits, q_logits)
    d = (wide(q_logits) - wide(p_logits)) / t
    return mean(t * t * (-(F.logsigmoid(d) + F.logsigmoid(-d)) / 2 - math.log(2)).sum(-1), each)


def entropy(logits: Tensor, *, each: bool = True) -> Tensor:
    """Of softmax(logits), in nats; [N, C] -> [N]"""
    p = wide(logits).log_softmax(-1)
    return mean(-(p.exp() * p).sum(-1), each)


def collapse(logits: Tensor, y: Tensor) -> Tensor:
    """Target against anything else as a two-class logit; [N, C], [N] -> [N, 2]"""
    target = F.one_hot(y, logits.shape[-1]).bool()
    rest = wide(logits).masked_fill(target, -torch.inf).logsumexp(-1)
    return torch.stack([wide(logits)[target], rest], -1)


def drop(logits: Tensor, y: Tensor) -> Tensor:
    """Logits of the non-target classes, in order; [N, C], [N] -> [N, C-1]"""
    return logits[~F.one_hot(y, logits.shape[-1]).bool()].view(len(y), logits.shape[-1] - 1)


def standardise(logits: Tensor, eps: float = 1e-7) -> Tensor:
    """(x - mean) / (std + eps) over classes, the unbiased std; [N, C] -> [N, C]"""
    x = wide(logits)
    return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + eps)


def pearson(a: Tensor, b: Tensor, eps: float = 1e-8) -> Tensor:
    """Correlation along the last dimension, <a, b> / (|a| |b| + eps) of the centred; 0 where one of them doesn't vary;
    [..., D], [..., D] -> [...]"""
    a, b = wide(a) - wide(a).mean(-1, keepdim=True), wide(b) - wide(b).mean(-1, keepdim=True)
    norms: Tensor = torch.linalg.vector_norm(a, dim=-1) * torch.linalg.vector_norm(b, dim=-1)
    return (a * b).sum(-1) / (norms + eps)


def symmetric_cross_entropy(
    p_logits: Tensor, q_logits: Tensor, reverse: float = 0.5, *, t: float = 1.0, each: bool = False
) -> Tensor:
    """(1 - reverse) CE(p, q) + reverse CE(q, p): 0 is the plain one; Wang et al. 2019 with soft answers; [N, C], [N, C] -> []"""
    there, back = cross_entropy(p_logits, q_logits, t, each=each), cross_entropy(q_logits, p_logits, t, each=each)
    return (1 - reverse) * there + reverse * back
