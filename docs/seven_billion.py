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
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "guide" / "seven-billion.md"
MEASURED = ROOT / "benchmarks" / "results" / "store.json"

CARD = 80e9  # bytes of a GPU
SPARE = 0.92  # of them, what torch and the driver leave
PEAK = 989e12  # dense bf16 operations a second of an H100 SXM; an A100 has 312e12
USED = 0.4  # of these, what a training uses
WRITES = 0.5  # what a forward pass alone uses
PRICE = 2.5  # of an hour of one GPU
KEEPING = 0.02  # of a GB, a month
RANK = 16  # of LoRA
LENGTH = 4096  # tokens of a row
PART = 4 * LENGTH  # tokens of a forward pass and GPU
LOSS = (
    2 * 2**29
)  # bytes: two buffers of the fused loss on a GPU (`parts.sweep.ELSEWHERE`, together), and about as much in passing


@dataclass(frozen=True)
class Shape:
    """A decoder as Llama and Qwen build it: width h, layers, heads, key-value heads, inner width m, rows of the head, whether that is the embedding too;
    bias: whether queries, keys and values have one."""

    name: str
    h: int
    layers: int
    heads: int
    kv: int
    m: int
    words: int
    tied: bool
    bias: bool = True

    @property
    def key(self) -> int:
        """Width of the keys: heads are as wide as they are for queries."""
        return self.h // self.heads * self.kv

    @property
    def inner(self) -> int:
        """Parameters of the layers and the last norm."""
        attention = 2 * self.h * self.h + 2 * self.h * self.key + (self.h + 2 * self.key) * self.bias
        return self.layers * (attention + 3 * self.h * self.m + 2 * self.h) + self.h

    @property
    def head(self) -> int:
        return self.words * self.h

    @property
    def parameters(self) -> int:
        return self.inner + self.head * (1 if self.tied else 2)


# published configurations of Qwen 2.5: one tokenizer, heads padded to two lengths
SHAPES = {
    s.name: s
    for s in (
        Shape("1.5B", 1536, 28, 12, 2, 8960, 151_936, True),
        Shape("3B", 2048, 36, 16, 2, 11_008, 151_936, True),
        Shape("7B", 3584, 28, 28, 4, 18_944, 152_064, False),
        Shape("72B", 8192, 80, 64, 8, 29_568, 152_064, False),
    )
}
PAIRS = (("1.5B", "7B"), ("3B", "7B"), ("1.5B", "72B"), ("3B", "72B"), ("7B", "72B"))


# ------------------------------------------------------------------------------------------------------------------------- memory


def layer(s: Shape, how: str = "float32") -> int:
    """Bytes that a layer keeps for its backward pass, a token, where attention keeps no scores; in float32 weights under bf16 autocast the residual
    stream is float32."""
    return (30 if how == "float32" else 20) * s.h + 8 * s.m + 4 * s.key + 4 * s.heads + 8


def activations(s: Shape, tokens: int, again: bool, how: str = "float32") -> int:
    """again: with checkpointing a layer's input is kept, and one layer at a time is computed again."""
    one = layer(s, how)
    return tokens * (s.layers * (4 if how == "float32" else 2) * s.h + one if again else s.layers * one)


def adapters(s: Shape, rank: int = RANK) -> int:
    """Parameters of LoRA beside every matrix of the layers."""
    return s.layers * rank * (2 * 2 * s.h + 2 * (s.h + s.key) + 3 * (s.h + s.m))


def learning(s: Shape, gpus: int = 1, how: str = "float32") -> dict[str, float]:
    """Bytes a GPU of a student: FSDP2 shares out all but the best student so far, which is whole. how: float32 weights, bfloat16 ones, or
    LoRA beside bfloat16 ones."""
    p, wide, small = s.parameters, 4 if how == "float32" else 2, adapters(s) if how == "lora" else 0
    learns = small or p
    each = 4 if how == "lora" else wide
    return {"weights": (wide * p + 4 * small) / gpus, "gradients": each * learns / gpus, "AdamW": 2 * each * learns / gpus,
            "bf16 copies": (2 * s.inner if how == "float32" else 0) / gpus, "best": float(wide * p + 4 * small)}  # fmt: skip


def loss(s: Shape, t: Shape, tokens: int) -> float:
    """The fused loss: buffers, and gradients of hidden states and head."""
    return LOSS + tokens * (4 * s.h + 2 * t.h) + 4 * s.head


def logits(s: Shape, tokens: int) -> int:
    """What it replaces: both models' logits and log-softmaxes, in float32."""
    return 4 * 4 * tokens * s.words


def teaching(t: Shape, tokens: int, bits: int = 16, gpus: int = 1) -> float:
    """A teacher's weights (in 4 bits with a scale of 32 for every 64 of them), and a layer's forward pass."""
    held = {16: 2.0, 8: 1.0, 4: 0.5 + 4 / 64}[bits] * t.inner + 2 * t.head * 2
    gathered = 0.0 if gpus == 1 else 2 * (t.inner / t.layers + t.head)
    return held / gpus + gathered + tokens * (10 * t.h + 6 * t.m)


def memory(
    s: Shape, t: Shape | None, *, tokens: int = PART, again: bool = True, bits: int = 16, gpus: int = 1, how: str = "float32"
) -> float:
    """Bytes a GPU; t: None where the signal comes from a store. The larger of a step, and of judging, which holds a second whole student and no
    activations."""
    own = learning(s, gpus, how)
    taught = 0.0 if t is None else teaching(t, tokens, bits, gpus)
    gathered = 0.0 if gpus == 1 else 4 * (s.inner / s.layers + s.head)
    passing = activations(s, tokens, again, how) + loss(s, t or s, tokens) + gathered
    return sum(own.values()) + taught + max(passing, own["best"])


# --------------------------------------------------------------------------------------------------------------------- time and price


def forward(s: Shape, length: int = LENGTH) -> float:
    """Operations a token: two a parameter that multiplies, and attention to half of the row on average."""
    return 2 * (s.inner + s.head) + 2 * s.layers * s.h * length


def step(s: Shape, again: bool = True, length: int = LENGTH) -> float:
    """Forward, backward (twice that), and with checkpointing the layers once more."""
    return 3 * forward(s, length) + (forward(s, length) - 2 * s.head if again else 0.0)


def speed(s: Shape, t: Shape | None, gpus: int = 1, again: bool = True) -> float:
    """Tokens a second."""
    seconds = step(s, again) / (PEAK * USED) + (0.0 if t is None else forward(t) / (PEAK * WRITES))
    return gpus / seconds


def asking(t: Shape, gpus: int = 1) -> float:
    """Tokens a second that a teacher labels."""
    return gpus * PEAK * WRITES / forward(t)


def hours(tokens: float, a_second: float, gpus: int = 1) -> float:
    """GPU hours."""
    return tokens / a_second * gpus / 3600


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
