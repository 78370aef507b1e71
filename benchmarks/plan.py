"""`understudy plan`'s model of time and memory against small runs on one CPU thread.

    python benchmarks/plan.py --out benchmarks/results/plan.json

Tiny Llamas over random tokens, float32, through the core's own loop (`kd` at a temperature of 1, the fused loss, AdamW): beside the teacher, from stores that `label`
wrote, on-policy; and the labelling. Loading, judging and the report are left out.

Seconds are a processor's, of so many updates after one that isn't counted; a round has all runs in one process, each round in another order. Three numbers of this machine stand for a device's data sheet, taken anew in every round:
operations a second from ONE run, `online, 128 from 256`, whose own error is therefore 0; the memory's bandwidth from a plain product of a large matrix and a vector; and seconds a layer where
one token of each row goes through, from writing with a Llama of width 8. All other runs are predicted from these. The error is the median over rounds of predicted over measured, less 1.

Memory is the most that is resident above what was so before the run began (VmHWM, reset through /proc/self/clear_refs), in a process of its own whose allocator gives
back at once what is let go of (MALLOC_MMAP_THRESHOLD_), so that what is held is seen and not what is kept for later; of a process as it comes it is given beside it. The
weights of the teacher and of the student as it came are there before, and left out on both sides. Nothing of it is calibrated; the loss's buffers are the CPU's.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import functools
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WORDS, LENGTH, BATCH, PROMPT = 4096, 128, 8, 64
TOKENS = BATCH * LENGTH
SAMPLES, K = 50, 50


@dataclass(frozen=True)
class Case:
    """(width, layers, heads) of student and teacher; steps: updates that are timed. way: online, samples, top-k, on-policy, or label (the teacher alone)."""

    name: str
    way: str
    student: tuple[int, int, int]
    teacher: tuple[int, int, int]
    steps: int


S, M, L, XL = (64, 2, 4), (128, 4, 4), (256, 4, 4), (384, 6, 6)
CASES = [
    Case("online, 128 from 256", "online", M, L, 6),
    Case("online, 64 from 128", "online", S, M, 12),
    Case("online, 256 from 384", "online", L, XL, 3),
    Case("label, 256, samples", "label", M, L, 6),
    Case("label, 384, samples", "label", L, XL, 3),
    Case("store of samples, 128", "samples", M, L, 6),
    Case("store of samples, 256", "samples", L, XL, 4),
    Case("store of top-k, 128", "top-k", M, L, 6),
    Case("on-policy, 128 from 256", "on-policy", M, L, 4),
    Case("on-policy, 64 from 128", "on-policy", S, M, 6),
]


def shape(sizes: tuple[int, int, int]) -> Any:
    """As `worlds.texts.llama` builds it."""
    from understudy.planning.sizes import Shape

    h, layers, heads = sizes
    return Shape("", h, layers, heads, heads, 2 * h, WORDS, True, False)


# ---------------------------------------------------------------------------------------------------------------------- measured


def resident(name: str) -> int:
    """Bytes: VmRSS now, VmHWM at most."""
    (line,) = [t for t in Path("/proc/self/status").read_text().splitlines() if t.startswith(name)]
    return 1024 * int(line.split()[1])


def measured(case: Case) -> dict[str, float]:
    """Seconds of a processor that the updates take, and bytes that they need at most; in this process."""
    import torch

    from understudy.core.fit import fit
    from understudy.core.run import start
    from understudy.core.seeds import stream
    from understudy.core.world import Player, recast
    from understudy.methods.logit.kd import KD
    from understudy.teachers import Encoding, Recorded, label
    from understudy.worlds.texts import Corpus, Texts, adamw, llama

    torch.set_num_threads(1)
    with stream(0, "plan"):
        teacher, student = (llama(WORDS, s, longest=LENGTH) for s in (case.teacher, case.student))
        teacher.shared = True  # one copy, as in the main job
        tokens = torch.randint(2, WORDS, ((case.steps + 1) * BATCH * (LENGTH + 1),))
    data = Corpus(dict.fromkeys(("train", "valid", "test"), tokens), LENGTH, PROMPT)
    rows = [{k: v[i : i + BATCH] for k, v in data.train.x.items()} for i in range(0, (case.steps + 1) * BATCH, BATCH)]
    with tempfile.TemporaryDirectory() as folder:
        encoding = Encoding("top-k", K) if case.way == "top-k" else Encoding("samples", SAMPLES)
        if case.way == "label":
            label(llama(WORDS, (8, 1, 2), longest=LENGTH), rows[:1], Path(folder) / "one", encoding, batch=BATCH)
            base = begun()
            clock = time.process_time()
            label(teacher, rows[1:], Path(folder) / "all", encoding, batch=BATCH)
            return {"seconds": time.process_time() - clock, "bytes": resident("VmHWM") - base}
        given: Any = teacher
        if case.way in ("samples", "top-k"):
            label(teacher, rows, Path(folder) / "all", encoding, batch=BATCH)
            given = Recorded(Path(folder) / "all")
        world = Texts(data=data, batch=BATCH, steps=case.steps + 1, new_student=functools.partial(copy.deepcopy, student), given_teacher=given,
                      signal="on-policy" if case.way == "on-policy" else "online", more=LENGTH - PROMPT, player=Player(adamw(1e-3)))  # fmt: skip
        tiny = recast(world, new_student=lambda: llama(WORDS, (8, 1, 2), longest=LENGTH), steps=1)
        fit(start(KD(a=1.0, t=1.0), tiny, 0, device="cpu"))  # what is made or read from disk at a first call is there
        base = begun()
        run = start(KD(a=1.0, t=1.0), world, 0, device="cpu")
        fit(run, 1)
        clock = time.process_time()
        fit(run)
        return {"seconds": time.process_time() - clock, "bytes": resident("VmHWM") - base}


def begun() -> int:
    """Bytes that are resident now; from now on the most of them is noted."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def machine() -> dict[str, float]:
    """Bytes a second that a product of a matrix and a vector reads; seconds a layer of one token of each row."""
    import torch

    from understudy.worlds.texts import llama

    torch.set_num_threads(1)
    a, x = torch.randn(4096, 8192), torch.randn(8192)
    seconds = [_timed(lambda: a @ x) for _ in range(9)]
    net, prompt = llama(WORDS, (8, 4, 2), longest=LENGTH), torch.ones(BATCH, 2, dtype=torch.long)
    write = lambda: net.write({"input_ids": prompt, "attention_mask": prompt}, 32)
    write()
    return {
        "bandwidth": a.numel() * 4 / statistics.median(seconds),
        "launch": statistics.median(_timed(write) for _ in range(5)) / 32 / 4,
    }


def _timed(once: Any) -> float:
    clock = time.process_time()
    once()
    return time.process_time() - clock


# --------------------------------------------------------------------------------------------------------------------- predicted


def operations(case: Case) -> float:
    """Of an update, but for what is written."""
    from understudy.planning import costs

    s, t = shape(case.student), shape(case.teacher)
    if case.way == "label":
        return TOKENS * costs.forward(t, LENGTH)
    return TOKENS * (costs.step(s, False, LENGTH) + (costs.forward(t, LENGTH) if case.way in ("online", "on-policy") else 0.0))


def predicted(case: Case, flops: float, bandwidth: float, launch: float) -> float:
    """Seconds of all updates."""
    from understudy.planning import costs

    seconds = operations(case) / flops
    if case.way == "on-policy":
        seconds += costs.writing(
            shape(case.student), BATCH, PROMPT, LENGTH - PROMPT, "plain", flops=flops, bandwidth=bandwidth, launch=launch
        )
    return case.steps * seconds


def needed(case: Case) -> float:
    """Bytes above the weights of both models, which are there before."""
    from understudy.parts import encode, sweep
    from understudy.planning import costs

    s, t = shape(case.student), shape(case.teacher)
    passing = costs.teaching(t, TOKENS, 32) - costs.held(t, 32)
    if case.way == "label":
        return passing + min(encode.BUDGET, 4 * TOKENS * WORDS)
    taught = case.way in ("online", "on-policy")
    own = costs.learning(s, how="plain")
    asked = TOKENS * (LENGTH - PROMPT) / LENGTH if case.way == "on-policy" else TOKENS  # places that the loss is taken at
    buffers = 2 * min(sweep.BUDGET["cpu"], (2 if taught else 1) * 4 * asked * WORDS)  # and as much in passing, as on a GPU
    held = sum(own.values()) - own["best"] + costs.activations(s, TOKENS, False, "plain")
    return held + costs.loss(s, t, TOKENS, buffers) + (passing if taught else 0.0)


# ------------------------------------------------------------------------------------------------------------------------- all of it


def child(what: str, **env: str) -> dict[str, dict[str, float]]:
    """In a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--one", what], capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"} | env)  # fmt: skip
    if done.returncode:
        sys.exit(f"{what} failed:\n{done.stderr[-2000:]}")
    told: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--rounds", type=int, default=5)
    ask.add_argument("--out", type=Path)
    ask.add_argument("--one", help=argparse.SUPPRESS)
    how = ask.parse_args()
    if how.one:
        known = {c.name: c for c in CASES}
        print(json.dumps({name: machine() if name == "machine" else measured(known[name]) for name in how.one.split("; ")}))
        return
    names = [c.name for c in CASES]
    held, as_it_comes = ([child(n, **env)[n]["bytes"] for n in names] for env in ({"MALLOC_MMAP_THRESHOLD_": "65536"}, {}))
    rounds: list[dict[str, Any]] = []
    for i in range(how.rounds):
        seen = child("; ".join(["machine", *names[3 * i % len(names) :], *names[: 3 * i % len(names)]]))
        first = CASES[0]
        rounds.append(seen | {"flops": first.steps * operations(first) / seen[first.name]["seconds"]})
        print(
            i,
            {c.name: round(predicted(c, rounds[-1]["flops"], **seen["machine"]) / seen[c.name]["seconds"] - 1, 2) for c in CASES},
            flush=True,
        )
    told = {"command": f"python benchmarks/plan.py --rounds {how.rounds}",
            "what": f"Llamas of (width, layers, heads), inner width twice that, {WORDS} words, {BATCH} rows of {LENGTH} tokens an update; error: predicted over measured, less 1; "
                    f"seconds of a processor: medians, their error the median and the range of {how.rounds} rounds",
            "note": "two things that predicted memory had left out were put right after a first measurement: what a chunk of the loss takes in passing, and that on-policy it is asked at half of the places",
            "machine": {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()}, "calibrated_on": CASES[0].name,
            "calibrated": {"flops": statistics.median(r["flops"] for r in rounds), **{k: statistics.median(r["machine"][k] for r in rounds) for k in ("bandwidth", "launch")}},
            "rows": [row(c, rounds, *most) for c, *most in zip(CASES, held, as_it_comes, strict=True)]}  # fmt: skip
    for r in told["rows"]:
        print(r)
    if how.out:
        lines = ",\n".join(f"  {json.dumps(r)}" for r in told.pop("rows"))
        how.out.write_text(json.dumps(told, indent=1)[:-2] + f',\n "rows": [\n{lines}\n ]\n}}\n')


def table(told: dict[str, Any]) -> str:
    """The guide's."""
    lines = [
        "| run | seconds | predicted | error | MB | predicted | error |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for r in told["rows"]:
        share = [f"{100 * r[k]:+.0f} %" for k in ("error_of_seconds", "from", "to", "error_of_mb")]
        error = "calibrated on it" if r["run"] == told["calibrated_on"] else f"{share[0]} ({share[1]} to {share[2]})"
        lines.append(
            f"| {r['run']} | {r['seconds']:.2f} | {r['predicted_seconds']:.2f} | {error} | {r['mb']:.0f} | {r['predicted_mb']:.0f} | {share[3]} |"
        )
    return "\n".join(lines)


def row(case: Case, rounds: list[dict[str, Any]], held: float, as_it_comes: float) -> dict[str, Any]:
    seconds = [r[case.name]["seconds"] for r in rounds]
    guesses = [predicted(case, r["flops"], **r["machine"]) for r in rounds]
    errors = sorted(g / s - 1 for g, s in zip(guesses, seconds, strict=True))
    need = needed(case)
    return {"run": case.name, "way": case.way, "student": case.student, "teacher": case.teacher, "updates": case.steps,
            "seconds": round(statistics.median(seconds), 3), "predicted_seconds": round(statistics.median(guesses), 3),
            "error_of_seconds": round(statistics.median(errors), 3), "from": round(errors[0], 3), "to": round(errors[-1], 3),
            "mb": round(held / 1e6, 1), "predicted_mb": round(need / 1e6, 1), "error_of_mb": round(need / held - 1, 3), "mb_as_it_comes": round(as_it_comes / 1e6, 1)}  # fmt: skip


if __name__ == "__main__":
    main()
