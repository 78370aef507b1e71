"""The kernels beside the passes in torch, under triton's interpreter, where TRITON_INTERPRET is set, and compiled where not.

`test_fused.py` runs this file both ways."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from typing import Any

import torch

from understudy.parts import strokes, strokes_triton, sweep
from understudy.parts.fused import both
from understudy.parts.kinds import FORWARD, REVERSE, VARIATION, alpha_beta, jensen, skew, skew_reverse
from understudy.parts.lazy import Head, Lazy, TopK

M, V = 3, 2 * strokes_triton.BLOCK + 77
KINDS = [FORWARD, REVERSE, VARIATION, jensen(0.3), jensen(0.5), skew(0.1), skew(0.9), skew_reverse(0.9), skew_reverse(0.1),
         alpha_beta(0.3, 0.6)]  # fmt: skip


def close(got: torch.Tensor, want: torch.Tensor, rtol: float = 1e-5) -> None:
    assert got.shape == want.shape
    assert (got - want).norm() <= rtol * want.norm(), (got, want)


def main() -> None:
    torch.manual_seed(0)
    z = 3 * torch.randn(M, V)
    far, near, huge = 4 * torch.randn(M, V), z + 0.01 * torch.randn(M, V), 1e4 * torch.randn(M, V)
    a, c = torch.randn(M, 1), torch.rand(M, 1)
    close(strokes_triton.log_sum_exp(z, 1.7), strokes.log_sum_exp(z, 1.7))
    for kind, given in itertools.product(KINDS, (far, near, huge, z)):
        u = given.clone()
        if kind is not REVERSE and given is not z:
            u[0, 5] = -torch.inf  # a word that the teacher never says
        over_q, over_p = (strokes.log_sum_exp(x).float() for x in (z, u))
        close(strokes_triton.log_sum_exp(u), strokes.log_sum_exp(u))
        w, want_w = u.clone(), u.clone()
        f, k = strokes_triton.compare(kind, z, w, over_q, over_p)
        want_f, want_k = strokes.compare(kind, z, want_w, over_q, over_p)
        rtol = 1e-3 if given is near else 1e-5  # two roundings of exp, beside the difference of p and q
        close(w, want_w, rtol)
        close(f, want_f, rtol)
        assert (k - want_k).norm() <= 1e-5 * want_w.abs().sum()  # a sum of both signs
        close(strokes_triton.slope(z, over_q, a, w.clone(), c), strokes.slope(z, over_q, a, w.clone(), c))
        if given is z:
            assert not f.any() and not w.any(), kind.name
    close(strokes_triton.slope(z, over_q, a, None, c), strokes.slope(z, over_q, a, None, c))


def sweeps() -> None:
    """A loss as a whole, with these passes for those in torch."""
    h, w, ht, wt = (torch.randn(*shape) for shape in ((5, 8), (V, 8), (5, 9), (V, 9)))
    h.requires_grad_(), w.requires_grad_()
    y, topk = torch.tensor([3, 0, V - 1, 7, 8]), torch.randn(5, V).log_softmax(-1).topk(9)
    q, p = Lazy((Head(h, w, cap=5.0),), V), Lazy((Head(ht, wt),), V)
    for answer, t in itertools.product((p, TopK(topk.indices, topk.values)), (1.0, 2.0)):
        if isinstance(answer, TopK):
            answer = replace(answer, t=t)
        found = []
        for passes in (strokes, strokes_triton):
            sweep.strokes_for = lambda device, dtype, passes=passes: passes
            sweep.BLOCK["cpu"] = V
            loss = torch.stack(both(jensen(0.3), answer, q, y, t, 0.7, 0.2))
            found.append((loss, *torch.autograd.grad(loss.sum(), [h, w])))
        for a, b in zip(*found):
            close(b, a)


def compiles() -> None:
    """To machine code of an A100, an H100 and a B200, without one."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    def cubin(kernel: Any, numbers: dict[str, str], **constants: Any) -> None:
        types = {n: numbers.get(n, "constexpr" if n in constants else "*fp32") for n in kernel.arg_names}
        assert (
            "cubin" in compile(ASTSource(fn=kernel, signature=types, constexprs=constants), target=GPUTarget("cuda", 90, 32)).asm
        )

    size = {"BLOCK": strokes_triton.BLOCK}
    cubin(strokes_triton._log_sum_exp, {"words": "i32", "times": "fp32"}, **size)
    for family in sorted({k.family for k in KINDS}):
        cubin(strokes_triton._compare, {"words": "i32", "a": "fp32", "b": "fp32"}, FAMILY=family, **size)
    for dense in (True, False):
        cubin(strokes_triton._slope, {"words": "i32"}, DENSE=dense, **size)


if __name__ == "__main__":
    if "TRITON_INTERPRET" in os.environ:
        main()
        sweeps()
    else:
        compiles()
