"""Does a score of untrained networks know which student will be the best? Kendall's tau with what they are after distillation.

    python benchmarks/diswot.py --networks 40 --seeds 3 --out benchmarks/results/diswot.json

Random sizes of the world `sizes` are drawn so that their parameters spread evenly over a logarithm; each is distilled (kd, t=4) from the
digits teacher, and trained on labels alone, from every seed. Test accuracy is the mean over seeds. The scores see training rows
and random weights; `parameters`, and the number of relu patterns that rows don't share (NASWOT, Mellor et al., 2021), stand beside them.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from scipy.stats import kendalltau
from torch import Tensor, nn

from understudy.core.files import write_atomically
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.core.world import recast
from understudy.methods import alone, diswot, kd
from understudy.parts.proxy import gap, reborn
from understudy.parts.search import Size, Sizes
from understudy.worlds.sizes import sizes

STARTS = 5  # random starts that a score is the mean of


def drawn(space: Sizes, networks: int) -> list[Size]:
    """Different sizes, as many in each part of the logarithm of the parameters."""
    low, high = (math.log(space.weigh(size) or 1) for size in (tuple(c[0] for c in space.choices), space.largest))
    found: list[Size] = []
    with stream("networks"):
        while len(found) < networks:
            most = low + (high - low) * (len(found) + 1) / networks
            size = space.within(math.exp(most))
            weight = space.weigh(size)
            if size not in found and weight and math.log(weight) > most - 1.5 * (high - low) / networks - 0.3:
                found.append(size)
    return found


@torch.no_grad()
def naswot(net: nn.Module, x: Tensor) -> float:
    """log |K|, K_ij = units that are on for both rows or off for both."""
    kernel, handles = torch.zeros(len(x), len(x), dtype=torch.double), []

    def note(_m: nn.Module, _a: Any, out: Tensor) -> None:
        on = (out > 0).flatten(1).double()
        kernel.add_(on @ on.T + (1 - on) @ (1 - on).T)

    for m in net.modules():
        if isinstance(m, nn.ReLU):
            handles.append(m.register_forward_hook(note))
    net(x)
    for h in handles:
        h.remove()
    return float(torch.linalg.slogdet(kernel)[1])


def scored(space: Sizes, size: Size, x: Tensor, asked: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    method, parts = diswot(), []
    for semantic, relation in asked:
        net = space.build(size).train()
        s, r = method.seen(net, method.student_at, x)
        parts.append((-gap(semantic, s), -gap(relation, r), naswot(net, x)))
    semantic, relation, units = (statistics.mean(p) for p in zip(*parts, strict=True))
    return {"diswot": semantic + relation, "diswot_first_start": parts[0][0] + parts[0][1], "semantics": semantic, "relations": relation,
            "naswot": units}  # fmt: skip


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--networks", type=int, default=40)
    ask.add_argument("--seeds", type=int, default=3)
    ask.add_argument("--steps", type=int, default=300)
    ask.add_argument("--out", type=Path, default=Path("benchmarks/results/diswot.json"))
    given = ask.parse_args()
    torch.set_num_threads(1)
    begun = time.perf_counter()
    worlds = [recast(sizes(seed, ready=True), steps=given.steps) for seed in range(given.seeds)]
    space, x = Sizes(worlds[0].student()), next(iter(worlds[0].sweep())).x[:64]
    with stream("teachers"):
        asked = [diswot().seen(reborn(worlds[0].teacher()), "stage:-1", x) for _ in range(STARTS)]
    rows = []
    for i, size in enumerate(drawn(space, given.networks)):
        with stream("scores", i):
            row: dict[str, Any] = {"size": size, "parameters": space.weigh(size)} | scored(space, size, x, asked)
        for name, method in (("distilled", kd()), ("labels_alone", alone())):
            accuracy = [
                fit(start(method, recast(w, new_student=lambda size=size: space.build(size)), w.seed, device="cpu")).worth("test")
                for w in worlds
            ]
            row |= {name: statistics.mean(accuracy), f"{name}_of_seeds": accuracy}
        rows.append(row)
        print(i, row, flush=True)
    scores = [
        k
        for k in rows[0]
        if k in ("parameters", "diswot", "diswot_first_start", "semantics", "relations", "naswot", "labels_alone")
    ]
    tau = {k: kendalltau([r[k] for r in rows], [r["distilled"] for r in rows]) for k in scores}
    alike = [r for r in rows if 2_000 <= r["parameters"] <= 20_000]
    near = {k: kendalltau([r[k] for r in alike], [r["distilled"] for r in alike]) for k in scores}
    told = lambda found: {k: {"tau": float(t.statistic), "p": float(t.pvalue)} for k, t in found.items()}
    write_atomically(given.out, json.dumps({
        "command": f"python benchmarks/diswot.py --networks {given.networks} --seeds {given.seeds} --steps {given.steps}",
        "versions": {"torch": torch.__version__, "python": platform.python_version()}, "seconds": round(time.perf_counter() - begun),
        "tau_with_distilled": told(tau), "tau_of_2k_to_20k_parameters": told(near) | {"networks": len(alike)}, "networks": rows}, indent=1) + "\n")  # fmt: skip


if __name__ == "__main__":
    main()
