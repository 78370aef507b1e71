"""The loss of a language model beside its peers: memory, seconds, exactness, and whether it is the loss that it says it is.

    python benchmarks/fused.py memory --out benchmarks/results/fused_memory.json
    python benchmarks/fused.py time --rounds 9 --out benchmarks/results/fused_time.json
    python benchmarks/fused.py exact --out benchmarks/results/fused_exact.json
    python benchmarks/fused.py objective --out benchmarks/results/fused_objective.json

Every contender is given the same hidden states and heads and answers with the loss of T tokens and its gradient. Memory is the peak
of the resident set above what it was before, each contender in a process of its own which has done the same thing once. Seconds are
of one process, in turn, the order moved on by one each round; those of the processor (`cpu`) don't mind who else is at the machine,
where there is one thread (`--threads 1`). Peers that aren't installed are left out by name.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import gc
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from understudy.parts import fused
from understudy.parts.lazy import Head, Lazy


class Given(NamedTuple):
    """h [T, H] and head w [V, H] of student and teacher."""

    h: Tensor
    w: Tensor
    ht: Tensor
    wt: Tensor


Loss = Callable[..., Tensor]  # of Given and beta; keep [T] bool and the temperature t where the contender has them


def given(tokens: int, words: int, width: int, wider: int, dtype: torch.dtype, near: bool = False) -> Given:
    """Student and teacher far apart (the teacher three times sharper); or nearly agreeing: one head, hidden states 0.02 apart."""
    g = torch.Generator().manual_seed(0)
    h, w = torch.randn(tokens, width, generator=g).to(dtype), (torch.randn(words, width, generator=g) * width**-0.5).to(dtype)
    if near:
        ht, wt = (h.float() + 0.02 * torch.randn(tokens, width, generator=g)).to(dtype), w.clone()
    else:
        ht = torch.randn(tokens, wider, generator=g).to(dtype)
        wt = (torch.randn(words, wider, generator=g).mul_(3 * wider**-0.5)).to(dtype)
    return Given(h.requires_grad_(), w.requires_grad_(), ht, wt)


def ours(x: Given, beta: float, keep: Tensor | None = None, t: float = 1.0, size: int | None = None) -> Tensor:
    words = size or len(x.w)
    return fused.divergence(fused.jensen(beta), Lazy((Head(x.ht, x.wt),), words, keep), Lazy((Head(x.h, x.w),), words, keep), t)


def compiled() -> Loss:
    """With UNDERSTUDY_COMPILE=1, beside the same without it in one process."""
    from understudy.parts import strokes_compiled, sweep

    def loss(*given: Any, **settings: Any) -> Tensor:
        before = sweep.strokes_for, sweep.BLOCK["cpu"], sweep.BUDGET["cpu"]
        sweep.strokes_for, sweep.BLOCK["cpu"], sweep.BUDGET["cpu"] = lambda *_: strokes_compiled, 4096, 10 * 2**24  # type: ignore[assignment]
        try:
            return ours(*given, **settings)
        finally:
            sweep.strokes_for, sweep.BLOCK["cpu"], sweep.BUDGET["cpu"] = before  # type: ignore[assignment]

    return loss


def liger(chunk: int, compiled: bool) -> Loss:
    from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss

    def loss(x: Given, beta: float, keep: Tensor | None = None, t: float = 1.0) -> Tensor:
        f = LigerFusedLinearJSDLoss(
            weight_hard_loss=0.0, weight_soft_loss=1.0, beta=beta, temperature=t, compiled=compiled, chunk_size=chunk
        )
        return f(x.h, x.w, x.ht, x.wt, labels(x, keep))

    return loss


def trl_chunked() -> Loss:
    from trl.kernels.chunked_divergence import ChunkedDivergenceFunction

    def loss(x: Given, beta: float, keep: Tensor | None = None, t: float = 1.0) -> Tensor:
        each = ChunkedDivergenceFunction.apply(x.h, x.w, None, x.ht, x.wt, None, beta, t)[0]
        return each.mean() if keep is None else each[keep].mean()  # as its trainer does

    return loss


def trl_gkd() -> Loss:
    from trl.experimental.gkd import GKDTrainer

    def loss(x: Given, beta: float, keep: Tensor | None = None, t: float = 1.0) -> Tensor:
        with torch.no_grad():
            teacher = (x.ht @ x.wt.t())[None]
        return GKDTrainer.generalized_jsd_loss((x.h @ x.w.t())[None], teacher, labels(x, keep)[None], beta, t)

    return loss


def labels(x: Given, keep: Tensor | None) -> Tensor:
    y = torch.zeros(len(x.h), dtype=torch.long)
    return y if keep is None else y.masked_fill(~keep, -100)


PEERS: dict[str, Callable[[], Loss]] = {
    "understudy": lambda: ours,
    "understudy, compiled": compiled,
    **{f"liger compiled, chunk {c}": functools.partial(liger, c, True) for c in (64, 128, 256, 512)},
    **{f"liger eager, chunk {c}": functools.partial(liger, c, False) for c in (64, 128)},
    "trl chunked": trl_chunked,
    "trl gkd": trl_gkd,
}


def installed(names: list[str]) -> dict[str, Loss]:
    found = {}
    for name in names:
        try:
            found[name] = PEERS[name]()
        except ImportError as e:
            print(f"{name} is left out: {e}", flush=True)
    return found


def once(loss: Loss, x: Given, beta: float) -> tuple[float, float, float]:
    """Seconds of a loss and its gradient, by the wall and of the processor, and the loss."""
    x.h.grad = x.w.grad = None
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    value = loss(x, beta)
    value.backward()
    return time.perf_counter() - wall, time.process_time() - cpu, value.item()


def status(field: str) -> float:
    """Of this process, in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def peak(name: str, tokens: int, dtype: str, threads: int) -> dict[str, Any]:
    """In this process, which is new."""
    torch.set_num_threads(threads)
    loss, x = PEERS[name](), given(tokens, 128_256, 512, 1024, getattr(torch, dtype))
    few = min(tokens, tokens if "compiled" in name else 256)  # what is compiled is compiled for this many
    once(loss, x._replace(h=x.h.detach()[:few].requires_grad_(), ht=x.ht[:few]), 0.5)  # loads what is loaded once
    x.h.grad = x.w.grad = None
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is from here
    *_, value = once(loss, x, 0.5)
    return {"mb": round(status("VmHWM") - before), "loss": value}


def memory(args: argparse.Namespace) -> dict[str, Any]:
    rows = []
    cases = [(n, 1024, d) for d in ("float32", "bfloat16") for n in args.names]
    cases += [
        (n, t, "float32") for t in (4096, 16384) for n in args.names if n.startswith(("under", "liger compiled, chunk 128"))
    ]
    for name, tokens, dtype in cases:
        command = [
            sys.executable,
            __file__,
            "peak",
            "--names",
            name,
            "--tokens",
            str(tokens),
            "--dtype",
            dtype,
            "--threads",
            str(args.threads),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        result = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"failed": done.stderr.splitlines()[-1:]}
        rows.append({"peer": name, "tokens": tokens, "dtype": dtype, **result})
        print(rows[-1], flush=True)
    return {"what": "peak of the resident set above its start, MB, of one loss and its gradient: vocabulary 128,256, hidden 512 / 1,024, "
                    "generalised JSD 0.5; the gradient of the head alone is 250 MB in float32", "rows": rows}  # fmt: skip


def timing(args: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(args.threads)
    tables = []
    for dtype in args.dtypes:
        x, losses = given(args.tokens, 128_256, 512, 1024, getattr(torch, dtype)), installed(args.names)
        for loss in losses.values():
            once(loss, x, 0.5)
        names, loads = list(losses), []
        seconds: dict[str, dict[str, list[float]]] = {name: {"wall": [], "cpu": []} for name in names}
        for r in range(args.rounds):
            for name in names[r % len(names) :] + names[: r % len(names)]:
                wall, cpu, _ = once(losses[name], x, 0.5)
                seconds[name]["wall"].append(wall)
                seconds[name]["cpu"].append(cpu)
            loads.append(os.getloadavg()[0])
            print(
                dtype,
                r,
                {n: (round(s["wall"][-1], 2), round(s["cpu"][-1], 2)) for n, s in seconds.items()},
                loads[-1],
                flush=True,
            )
        rows = [{"peer": name} | {clock: {"seconds": round(statistics.median(s[clock]), 2), "least": round(min(s[clock]), 2),
                                          "over_ours": quartiles(s[clock], seconds["understudy"][clock])} for clock in s}
                for name, s in seconds.items()]  # fmt: skip
        for row in rows:
            print(dtype, row, flush=True)
        tables.append({"dtype": dtype, "rounds": args.rounds, "load": [round(x, 1) for x in loads], "rows": rows})
    return {"what": f"seconds of one loss and its gradient, {args.tokens} tokens, {args.threads} thread(s), else as in fused_memory.json: median and "
                    "least; over_ours: their seconds over ours of the same round, lower quartile, median, upper quartile",
            "tables": tables}  # fmt: skip


def quartiles(theirs: list[float], own: list[float]) -> list[float]:
    r = sorted(a / b for a, b in zip(theirs, own, strict=True))
    return [round(r[i], 2) for i in (len(r) // 4, len(r) // 2, -1 - len(r) // 4)]


EXACT = ["understudy", "liger eager, chunk 64", "trl chunked", "trl gkd"]


def reference(x: Given, beta: float, t: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Value and gradients in float64, written out."""
    h, w = (a.detach().double().requires_grad_() for a in (x.h, x.w))
    lq, lp = (h @ w.t() / t).log_softmax(-1), (x.ht.double() @ x.wt.double().t() / t).log_softmax(-1)
    m = lq if beta == 0 else lp if beta == 1 else torch.logaddexp(lq + math.log(1 - beta), lp + math.log(beta))
    there, back = (lp.exp() * (lp - m)).sum(), (lq.exp() * (lq - m)).sum()
    loss = (there if beta == 0 else back if beta == 1 else beta * there + (1 - beta) * back) / len(h)
    return loss.detach(), *torch.autograd.grad(loss, [h, w])


def gradients(loss: Loss, x: Given, beta: float, **settings: Any) -> tuple[Tensor, Tensor, Tensor]:
    value = loss(x, beta, **settings)
    return value.detach(), *torch.autograd.grad(value, [x.h, x.w])


def error(got: Tensor, want: Tensor) -> float:
    return float(f"{((got.double() - want).norm() / want.norm()).item():.2g}")


def exact(args: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(args.threads)
    rows = []
    for dtype in args.dtypes:
        for near in (False, True):
            x = given(128, 128_256, 256, 512, getattr(torch, dtype), near)
            for beta, kind in ((0.0, "forward KL"), (0.5, "JSD 0.5"), (1.0, "reverse KL")):
                want = reference(x, beta)
                for name, loss in installed(EXACT).items():
                    got = gradients(loss, x, beta)
                    rows.append({"dtype": dtype, "case": "near" if near else "far", "kind": kind, "peer": name}
                                | {k: error(a, b) for k, a, b in zip(("value", "hidden", "weight"), got, want, strict=True)})  # fmt: skip
                    print(rows[-1], flush=True)
    return {"what": "relative error, against float64 on the same inputs, of the loss and of its gradients towards hidden states and head: 128 "
                    "tokens, vocabulary 128,256, hidden 256 / 512; far: a teacher three times as sharp; near: the same head, hidden "
                    "states 0.02 apart", "rows": rows}  # fmt: skip


def objective(args: argparse.Namespace) -> dict[str, Any]:
    """What holds of the loss, in float32 if not said otherwise: one figure a question, 0 (or True) is right."""
    torch.set_num_threads(args.threads)
    far, tokens = given(16, 1000, 32, 64, torch.float32), torch.arange(16)
    equal = far._replace(ht=far.h.detach(), wt=far.w.detach())
    half = given(16, 1000, 32, 64, torch.bfloat16)
    keep = tokens % 4 != 0
    used = Given(far.h.detach()[keep].requires_grad_(), far.w, far.ht[keep], far.wt)
    other = far._replace(
        h=torch.where(keep[:, None], far.h.detach(), 5.0).requires_grad_(), ht=torch.where(keep[:, None], far.ht, 5.0)
    )
    huge = far._replace(h=(far.h.detach() * 1e4).requires_grad_(), ht=far.ht * 1e4)
    padded = far._replace(
        w=torch.cat([far.w.detach(), torch.ones(24, 32)]).requires_grad_(), wt=torch.cat([far.wt, -torch.ones(24, 64)])
    )
    uneven = padded._replace(w=far.w)

    def words(loss: Loss, x: Given) -> float:
        return error(loss(x, 0.5, size=1000) if loss is ours else loss(x, 0.5), reference(far, 0.5)[0])

    def twice(loss: Loss) -> bool:
        value = loss(far, 0.5)
        a, b = (torch.autograd.grad(value, far.h, retain_graph=True)[0].clone() for _ in range(2))
        return torch.allclose(a, b, rtol=1e-5, atol=1e-9)

    def second(loss: Loss) -> str | float:
        (g,) = torch.autograd.grad(loss(far, 0.5), far.h, create_graph=True)
        if not g.requires_grad:
            return "a constant, silently"
        (gg,) = torch.autograd.grad(g.square().sum(), far.h, allow_unused=True)
        h = far.h.detach().double().requires_grad_()
        lq, lp = (h @ far.w.detach().double().t()).log_softmax(-1), (far.ht.double() @ far.wt.double().t()).log_softmax(-1)
        m = torch.logaddexp(lq, lp) - math.log(2)
        (g,) = torch.autograd.grad(((lp.exp() * (lp - m)).sum() + (lq.exp() * (lq - m)).sum()) / 32, h, create_graph=True)
        return "nothing, silently" if gg is None else error(gg, torch.autograd.grad(g.square().sum(), h)[0])

    def autocast(loss: Loss) -> float:
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(far, 0.5)
        return error(torch.autograd.grad(value, far.h)[0], reference(far, 0.5)[1])

    asked: dict[str, Callable[[Loss], Any]] = {
        **{f"loss where student equals teacher, {k}": functools.partial(lambda f, b: f(equal, b).item(), b=b)
           for b, k in ((0.0, "forward KL"), (0.5, "JSD 0.5"), (1.0, "reverse KL"))},
        "largest gradient where student equals teacher, JSD 0.5": lambda f: gradients(f, equal, 0.5)[1].abs().max().item(),
        "error of forward KL (a cross-entropy would be off by the teacher's entropy)": lambda f: error(f(far, 0.0), reference(far, 0.0)[0]),
        "error of the loss at temperature 2": lambda f: error(f(far, 0.5, t=2.0), reference(far, 0.5, 2.0)[0]),
        "error of the gradient at temperature 2": lambda f: error(gradients(f, far, 0.5, t=2.0)[1], reference(far, 0.5, 2.0)[1]),
        "error of the loss where a quarter of the tokens is masked": lambda f: error(f(far, 0.5, keep=keep), reference(used, 0.5)[0]),
        "what is masked changes no bit of loss and gradient":
            lambda f: all(torch.equal(a, b) for a, b in zip(gradients(f, far, 0.5, keep=keep), gradients(f, other, 0.5, keep=keep), strict=True)),
        "error of the loss where 24 rows pad both heads": lambda f: words(f, padded),
        "error of the loss where 24 rows pad the teacher's head": lambda f: words(f, uneven),
        "finite at logits of 1e4": lambda f: all(bool(g.isfinite().all()) for g in gradients(f, huge, 0.5)),
        "a second backward pass gives the same": twice,
        "error of a gradient of the gradient": second,
        "error of the gradient, bfloat16": lambda f: error(gradients(f, half, 0.5)[1], reference(half, 0.5)[1]),
        "error of the gradient of float32 under autocast": autocast,
    }  # fmt: skip
    table = {}
    for question, ask in asked.items():
        table[question] = row = {}
        for name, loss in installed(EXACT).items():
            try:
                row[name] = ask(loss)
            except Exception as e:  # what a peer says is the result
                row[name] = f"{type(e).__name__}: {str(e).splitlines()[0][:100]}"
        print(question, row, flush=True)
    return {"what": "what holds of each loss: 16 tokens, vocabulary 1,000", "table": table}


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("what", choices=("memory", "time", "exact", "objective", "peak"))
    ask.add_argument("--names", type=lambda s: s.split(";"), default=list(PEERS))
    ask.add_argument("--threads", type=int, default=2)
    ask.add_argument("--rounds", type=int, default=9)
    ask.add_argument("--tokens", type=int, default=1024)
    ask.add_argument("--dtype", default="float32")
    ask.add_argument("--dtypes", type=lambda s: s.split(","), default=["float32", "bfloat16"])
    ask.add_argument("--out", type=Path)
    args = ask.parse_args()
    os.environ |= {"TRL_EXPERIMENTAL_SILENCE": "1", "HF_HUB_OFFLINE": "1"}
    warnings.filterwarnings("ignore")
    if args.what == "peak":
        print(json.dumps(peak(args.names[0], args.tokens, args.dtype, args.threads)))
        return
    result = {"memory": memory, "time": timing, "exact": exact, "objective": objective}[args.what](args)
    result |= {"command": "python " + " ".join(sys.argv), "python": platform.python_version(),
               "versions": {p: metadata.version(p) for p in ("torch", "trl", "liger-kernel")}}  # fmt: skip
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
