"""The tables of docs/guide/seven-billion.md: memory, time, store and price of distilling a large language model, by formula.

    python docs/seven_billion.py            write the tables into the page, between its marks
    python docs/seven_billion.py --print    only show them

Nothing here was run at that size. Measured, small and on a CPU, are bytes of a stored token (benchmarks/results/store.json) and what a layer keeps
for its backward pass (tests/integration/test_seven_billion.py counts it).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from understudy.planning.costs import (
    PART,
    activations,
    forward,
    hours,
    learning,
    logits,
    loss,
    memory,
    step,
)
from understudy.planning.devices import DEVICES
from understudy.planning.plans import SPARE, Settings
from understudy.planning.sizes import PUBLISHED, Shape

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "guide" / "seven-billion.md"
MEASURED = ROOT / "benchmarks" / "results" / "store.json"

CARD, PEAK, PRICE = (
    DEVICES["h100"].memory,
    DEVICES["h100"].flops,
    DEVICES["h100"].price,
)  # bytes, bf16 operations a second, dollars an hour
USED, WRITES, KEEPING = Settings.mfu, Settings.forward, Settings.keeping

# published configurations of Qwen 2.5: one tokenizer, heads padded to two lengths
SHAPES = {
    (name := s.name.removeprefix("Qwen 2.5 ")): replace(s, name=name)
    for s in PUBLISHED
    if s.name in ("Qwen 2.5 1.5B", "Qwen 2.5 3B", "Qwen 2.5 7B", "Qwen 2.5 72B")
}
PAIRS = (("1.5B", "7B"), ("3B", "7B"), ("1.5B", "72B"), ("3B", "72B"), ("7B", "72B"))


# --------------------------------------------------------------------------------------------------------------------- time and price


def speed(s: Shape, t: Shape | None, gpus: int = 1, again: bool = True) -> float:
    """Tokens a second."""
    seconds = step(s, again) / (PEAK * USED) + (0.0 if t is None else forward(t) / (PEAK * WRITES))
    return gpus / seconds


def asking(t: Shape, gpus: int = 1) -> float:
    """Tokens a second that a teacher labels."""
    return gpus * PEAK * WRITES / forward(t)


def bill(s: Shape, t: Shape, tokens: float, visits: int, a_token: float | None) -> float:
    """Of so many visits to so many tokens; a_token: bytes that a store keeps, for a month, or None with the teacher online."""
    if a_token is None:
        return PRICE * hours(tokens * visits, speed(s, t))
    return PRICE * (hours(tokens, asking(t)) + hours(tokens * visits, speed(s, None))) + KEEPING * tokens * a_token / 1e9


def stored() -> dict[str, float]:
    """Bytes a token as measured, at the largest vocabulary that was; of one soft teacher."""
    found: dict[int, dict[str, float]] = {}
    told = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    for name, table in told.items():
        if name.startswith("frontier "):
            rows = [r for r in table["rows"] if r["teacher"] == "soft" and "bytes" in r]
            size = int(name.split()[1].rstrip(","))
            here = {f"{r['kind']} {r['size']}": float(r["bytes"]) for r in rows if r["kind"] in ("samples", "hybrid")}
            found[size] = here | found.get(size, {})  # of several runs of a vocabulary, the first
    best = max((v for v in found if found[v]), default=0)
    return {f"`{k}`, measured at {best:,} words": v for k, v in sorted(found.get(best, {}).items(), key=lambda kv: kv[1])}


# ------------------------------------------------------------------------------------------------------------------------- tables


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = [names, ["---", *["---:"] * (len(names) - 1)], *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def gb(count: float) -> str:
    return f"{count / 1e9:,.1f}" if count < 1e12 else f"{count / 1e9:,.0f}"


def fits(count: float) -> str:
    return gb(count) if count <= SPARE * CARD else f"✘ {gb(count)}"


def models() -> str:
    rows = [(f"**{s.name}**", f"{s.parameters / 1e9:.2f} billion", gb(sum(learning(s).values())), gb(activations(s, PART, False)), gb(activations(s, PART, True)),
             gb(logits(s, PART)), gb(loss(s, s, PART)), gb(2 * s.parameters)) for s in SHAPES.values()]  # fmt: skip
    return table(("model", "parameters", "as a student: weights to best", "activations", "with checkpointing", "logits, as others hold them",
                  "the fused loss instead", "as a teacher, bf16"), rows)  # fmt: skip


def one() -> str:
    rows = [(f"{s} from {t}", fits(memory(a, b, again=False)), fits(memory(a, b)), fits(memory(a, b, how="bfloat16")), fits(memory(a, b, how="lora")),
             fits(memory(a, b, how="bfloat16", bits=4)), fits(memory(a, None)), fits(memory(a, None, how="bfloat16"))) for s, t in PAIRS for a, b in [(SHAPES[s], SHAPES[t])]]  # fmt: skip
    return table(("student from teacher", "online, no checkpointing", "online", "online, bfloat16 student", "online, LoRA",
                  "online, bfloat16 student, 4-bit teacher", "store", "store, bfloat16 student"), rows)  # fmt: skip


def eight() -> str:
    rows = [(f"{s} from {t}", fits(memory(a, b, again=False, gpus=8)), fits(memory(a, b, gpus=8)), fits(memory(a, b, gpus=8, how="bfloat16")),
             fits(memory(a, None, gpus=8)), fits(memory(a, None, gpus=8, how="bfloat16"))) for s, t in PAIRS for a, b in [(SHAPES[s], SHAPES[t])]]  # fmt: skip
    return table(
        (
            "student from teacher",
            "online, no checkpointing",
            "online",
            "online, bfloat16 student",
            "store",
            "store, bfloat16 student",
        ),
        rows,
    )


def speeds() -> str:
    rows = [(f"{s} from {t}", f"{speed(a, b):,.0f}", f"{speed(a, None):,.0f}", f"{asking(b):,.0f}", f"{hours(1e10, speed(a, b, 8)) / 24:,.1f}",
             f"{hours(1e10, speed(a, None, 8)) / 24:,.1f}", f"{hours(1e10, asking(b, 8)) / 24:,.1f}") for s, t in PAIRS for a, b in [(SHAPES[s], SHAPES[t])]]  # fmt: skip
    return table(("student from teacher", "tokens/s of a GPU, online", "from a store", "labelling", "days for 10 billion tokens on eight, online", "from a store", "labelling"), rows)  # fmt: skip


def store() -> str:
    kept = {"hard labels: the token's number": 4.0, **stored(), "for comparison: top-50, an id of 4 and a logit of 2 bytes": 300.0,
            "for comparison: all logits in bf16": 2.0 * SHAPES["7B"].words}  # fmt: skip
    sizes = (1e9, 1e10, 1e11)
    return table(("what is kept", "bytes a token", *(f"{n / 1e9:,.0f} billion tokens" for n in sizes)),
                 ((k, f"{v:,.1f}", *(f"{_bytes(v * n)}" for n in sizes)) for k, v in kept.items()))  # fmt: skip


def _bytes(count: float) -> str:
    unit, worth = next((u, w) for u, w in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9)) if count >= w)
    return f"{count / worth:,.1f} {unit}"


def plans() -> str:
    a_token, rows = max(stored().values(), default=100.0), []
    for s, t in PAIRS:
        shown = []
        for visits in (1, 3):
            prices = [bill(SHAPES[s], SHAPES[t], 1e10, visits, kept) for kept in (None, a_token)]
            shown += [f"**{p:,.0f}**" if p == min(prices) else f"{p:,.0f}" for p in prices]
        rows.append((f"{s} from {t}", *shown))
    return table(
        ("student from teacher", "one visit, online", "one visit, store", "three visits, online", "three visits, store"), rows
    )


TABLES: dict[str, Callable[[], str]] = {
    "models": models,
    "one": one,
    "eight": eight,
    "speeds": speeds,
    "store": store,
    "plans": plans,
}


def filled(page: str) -> str:
    """The page with every table between its marks made anew."""
    for name, make in TABLES.items():
        mark = rf"(<!-- {name} -->\n).*?(\n<!-- end -->)"
        if not re.search(mark, page, re.S):
            raise SystemExit(f"{PAGE.name} has no place for '{name}'")
        page = re.sub(mark, lambda m, make=make: m[1] + "\n" + make() + "\n" + m[2], page, count=1, flags=re.S)  # type: ignore[misc]
    return page


if __name__ == "__main__":
    if "--print" in sys.argv:
        print("\n\n".join(f"{name}\n{make()}" for name, make in TABLES.items()))
    else:
        PAGE.write_text(filled(PAGE.read_text()))
