"""The formulas: memory, operations and bytes of distilling decoders. docs/guide/plan.md and docs/guide/seven-billion.md say them in words.

P parameters, L layers, width h, queries' and keys' width, inner width m, a heads, V words, T tokens in a forward pass. how, of a student's weights:
'float32' under bf16 autocast, 'bfloat16', 'lora' beside bfloat16 ones, or 'plain', float32 all through (a CPU).
"""

from __future__ import annotations

from understudy.planning.sizes import Shape

RANK = 16  # of LoRA
LENGTH = 4096  # tokens of a row
PART = 4 * LENGTH  # tokens of a forward pass and device
LOSS = (
    2 * 2**29
)  # bytes: two buffers of the fused loss on a GPU (`parts.sweep.ELSEWHERE`, together), and about as much in passing

# bytes a token as benchmarks/results/store.json has them at a vocabulary of 116,726: samples of a teacher of 5.5 nats, top-k of any
MEASURED = {
    "samples": ((12, 14.86), (25, 24.55), (50, 40.9), (100, 68.26), (140, 87.98)),
    "top-k": ((8, 20.98), (32, 77.28)),
}


def wide(how: str) -> int:
    """Bytes of a weight."""
    return 4 if how in ("float32", "plain") else 2


# ------------------------------------------------------------------------------------------------------------------------- memory


def layer(s: Shape, how: str = "float32") -> int:
    """Bytes that a layer keeps for its backward pass, a token, where attention keeps no scores; in float32 weights under bf16 autocast the residual
    stream is float32."""
    if how == "plain":
        return 32 * s.h + 16 * s.m + 8 * s.key + 4 * s.heads + 8
    return (30 if how == "float32" else 20) * s.h + 8 * s.m + 4 * s.key + 4 * s.heads + 8


def activations(s: Shape, tokens: int, again: bool, how: str = "float32") -> int:
    """again: with checkpointing a layer's input is kept, and one layer at a time is computed again."""
    one = layer(s, how)
    return tokens * (s.layers * wide(how) * s.h + one if again else s.layers * one)


def adapters(s: Shape, rank: int = RANK) -> int:
    """Parameters of LoRA beside every matrix of the layers."""
    return s.layers * rank * (2 * (s.h + s.query) + 2 * (s.h + s.key) + 3 * (s.h + s.m))


def learning(s: Shape, gpus: int = 1, how: str = "float32") -> dict[str, float]:
    """Bytes a GPU of a student: FSDP2 shares out all but the best student so far, which is whole."""
    p, size, small = s.parameters, wide(how), adapters(s) if how == "lora" else 0
    learns = small or p
    each = 4 if how == "lora" else size
    return {"weights": (size * p + 4 * small) / gpus, "gradients": each * learns / gpus, "AdamW": 2 * each * learns / gpus,
            "bf16 copies": (2 * s.inner if how == "float32" else 0) / gpus, "best": float(size * p + 4 * small)}  # fmt: skip


def loss(s: Shape, t: Shape, tokens: int, buffers: float = LOSS) -> float:
    """The fused loss: buffers, and gradients of hidden states and head; no logits outlive a chunk."""
    return buffers + tokens * (4 * s.h + 2 * t.h) + 4 * s.head


def logits(s: Shape, tokens: int) -> int:
    """What it replaces: both models' logits and log-softmaxes, in float32."""
    return 4 * 4 * tokens * s.words


def held(t: Shape, bits: int = 16) -> float:
    """A teacher's weights; in 4 bits with a scale of 32 for every 64 of them."""
    return {32: 4.0, 16: 2.0, 8: 1.0, 4: 0.5 + 4 / 64}[bits] * t.inner + (4 if bits == 32 else 2) * t.head * 2


def teaching(t: Shape, tokens: int, bits: int = 16, gpus: int = 1) -> float:
    """A teacher's weights, and a layer's forward pass."""
    gathered = 0.0 if gpus == 1 else 2 * (t.inner / t.layers + t.head)
    return held(t, bits) / gpus + gathered + tokens * (10 * t.h + 6 * t.m) * (2 if bits == 32 else 1)


def memory(
    s: Shape,
    t: Shape | None,
    *,
    tokens: int = PART,
    again: bool = True,
    bits: int = 16,
    gpus: int = 1,
    how: str = "float32",
    kept: bool = True,
) -> float:
    """Bytes a GPU; t: None where the signal comes from a store. The larger of a step, and of judging, which holds a second whole student and no
    activations. kept: whether the best student so far lies on the device, too."""
    own = learning(s, gpus, how)
    taught = 0.0 if t is None else teaching(t, tokens, bits, gpus)
    gathered = 0.0 if gpus == 1 else 4 * (s.inner / s.layers + s.head)
    passing = activations(s, tokens, again, how) + loss(s, t or s, tokens) + gathered
    return sum(own.values()) - (0 if kept else own["best"]) + taught + max(passing, own["best"])


def context(s: Shape, tokens: float, how: str = "float32") -> float:
    """Bytes of the keys and values of so many tokens, of all layers."""
    return 2 * s.layers * s.key * wide(how) * tokens


# --------------------------------------------------------------------------------------------------------------------- operations


def forward(s: Shape, length: int = LENGTH) -> float:
    """Operations a token: two a parameter that multiplies, and attention to half of the row on average (2 L h T; all of it would be 4 L h T)."""
    return 2 * (s.inner + s.head) + 2 * s.layers * s.query * length


def step(s: Shape, again: bool = True, length: int = LENGTH) -> float:
    """Forward, backward (twice that: 6 P and 6 L h T together), and with checkpointing the layers once more."""
    return 3 * forward(s, length) + (forward(s, length) - 2 * s.head if again else 0.0)


def hours(tokens: float, a_second: float, gpus: int = 1) -> float:
    """GPU hours."""
    return tokens / a_second * gpus / 3600


def writing(
    s: Shape,
    rows: int,
    begun: float,
    written: float,
    how: str,
    *,
    flops: float,
    bandwidth: float,
    launch: float,
    link: float = 0.0,
) -> float:
    """Seconds that a device takes to write so many tokens after prompts of `begun`, so many rows at once. Every token reads all weights and each
    row's keys and values: it takes as long as that, or as its operations, whichever is more, and `launch` seconds a layer before anything is
    computed. link: bytes a second between devices that hold a part of the weights each, 0 = whole here. The prompt is one forward pass."""
    size = wide(how) * (s.inner + s.head)
    seen = begun + written / 2
    moved = (size + rows * context(s, seen, how)) / bandwidth
    done = rows * (2 * (s.inner + s.head) + 4 * s.layers * s.query * seen) / flops
    fetched = size / link if link else 0.0
    return written * (max(moved, done, fetched) + s.layers * launch) + rows * begun * forward(s, int(begun)) / flops


# -------------------------------------------------------------------------------------------------------------------------- store


def stored(kind: str, size: int) -> float:
    """Bytes a token of a store, on the straight lines between what was measured, and beyond on the last one."""
    points = MEASURED[kind]
    above = next((i for i, (n, _) in enumerate(points) if i and size <= n), len(points) - 1)
    (a, low), (b, high) = points[above - 1], points[above]
    return max(low + (high - low) * (size - a) / (b - a), 2.0)
