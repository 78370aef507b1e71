"""Online, offline and on-policy distillation of one pair on some devices: what each takes, the cheapest that fits first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from understudy.core.errors import refuse
from understudy.core.fields import check, choice, span
from understudy.planning import costs
from understudy.planning.devices import DEVICES, Device
from understudy.planning.sizes import Shape

SPARE = 0.92  # of a device's memory, what torch and the driver leave
WAYS = ("online", "offline, samples", "offline, top-k", "on-policy")


@dataclass(frozen=True)
class Settings:
    """Everything that is assumed, with what it may be. Raises `Refused` by name."""

    length: int = span(costs.LENGTH, 2, 2**20)  # tokens of a row
    rows: int = span(4, 1, 10**5)  # rows of a forward pass and device
    checkpointing: bool = True  # activations are computed twice, so that few are held
    weights: str = choice("float32", "bfloat16", "lora")  # of a student that learns; float32 computes in bf16
    bits: int = 16  # of a teacher's weights: 16, 8 or 4
    sharded: bool | None = None  # by FSDP over all devices; None: only where it doesn't fit otherwise
    samples: int = span(50, 1, 10**4)  # draws that a store keeps of a token
    k: int = span(50, 1, 10**4)  # likeliest words that a store keeps of a token
    epochs: int = span(1, 1, 10**6)  # visits to each token
    students: int = span(1, 1, 10**6)  # that learn, one behind the other; a store is written once
    mfu: float = span(0.4, 1e-4, 1)  # of the device's operations, what training uses
    forward: float = span(0.5, 1e-4, 1)  # and a forward pass alone
    written: float = span(0.5, 0.01, 1)  # of a row, what the student writes itself where it learns on-policy
    batch: int = span(64, 1, 10**5)  # rows that a device writes at once
    reach: float = span(0.6, 1e-4, 1)  # of the memory's bandwidth, what writing uses
    launch: float = span(2.5e-4, 0, 10)  # seconds before a layer computes, where one token of each row goes through it
    disk: float = span(2e9, 1.0, 1e15)  # bytes a second of the store's disk, for all devices together
    link: float = span(5e10, 1.0, 1e15)  # bytes a second that a device sends to others and gets from them
    keeping: float = span(0.02, 0, 1e3)  # dollars of a GB and month
    months: float = span(1.0, 0, 1e3)  # that a store is kept

    def __post_init__(self) -> None:
        check(self, "plan")
        if self.bits not in (16, 8, 4):
            raise refuse("plan.bits", self.bits, "16, 8 or 4")
        if self.sharded is not None and not isinstance(self.sharded, bool):
            raise refuse("plan.sharded", self.sharded, "true or false, or left out")

    @property
    def tokens(self) -> int:
        """Of a forward pass and device."""
        return self.rows * self.length


@dataclass(frozen=True)
class Stage:
    """One part of a plan. flops: all of them; seconds: of the clock, all devices at work; memory: bytes a device; bound: what it waits for."""

    name: str
    flops: float
    seconds: float
    memory: float
    bound: str
    sharded: bool = False


@dataclass(frozen=True)
class Plan:
    """store: bytes that are kept; price: dollars; mends: settings with which a plan fits that doesn't."""

    name: str
    stages: tuple[Stage, ...]
    device: Device
    gpus: int
    store: float
    price: float
    note: str = ""
    mends: tuple[str, ...] = field(default=())

    @property
    def flops(self) -> float:
        return sum(s.flops for s in self.stages)

    @property
    def hours(self) -> float:
        """Of the clock."""
        return sum(s.seconds for s in self.stages) / 3600

    @property
    def memory(self) -> float:
        return max(s.memory for s in self.stages)

    @property
    def fits(self) -> bool:
        return self.memory <= SPARE * self.device.memory

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "fits": self.fits, "flops": self.flops, "hours": self.hours, "device_hours": self.hours * self.gpus, "memory": self.memory,
                "store": self.store, "price": self.price, "note": self.note, "mends": list(self.mends),
                "stages": [vars(s) for s in self.stages]}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """A pair of models, tokens, and devices."""

    student: Shape
    teacher: Shape
    tokens: float
    device: Device
    gpus: int
    how: Settings


def plans(
    student: Shape, teacher: Shape, tokens: float, device: Device, gpus: int = 1, how: Settings | None = None
) -> list[Plan]:
    """All ways, those that fit before those that don't, and the cheapest first."""
    work = Work(student, teacher, tokens, device, gpus, how or Settings())
    made = [_plan(work, way) for way in WAYS]
    made = [p if p.fits else replace(p, mends=tuple(_mends(work, p.name))) for p in made]
    return sorted(made, key=lambda p: (not p.fits, p.price))


def _plan(w: Work, way: str) -> Plan:
    h, store, note = w.how, 0.0, ""
    if way == "online":
        stages = [_stage(w, "learn beside the teacher", taught=True)]
    elif way == "on-policy":
        stages = [_stage(w, "write, and learn beside the teacher", taught=True, writes=True)]
        note = "learns from what it writes itself, which no store can hold"
    else:
        kind = "samples" if way.endswith("samples") else "top-k"
        a_token = costs.stored(kind, h.samples if kind == "samples" else h.k)
        store = a_token * w.tokens
        note = "right on average" if kind == "samples" else "biased: all but the likeliest words are one"
        stages = [_labelling(w, store), _stage(w, "learn from the store", read=a_token)]
    price = sum(s.seconds for s in stages) / 3600 * w.gpus * w.device.price + h.keeping * h.months * store / 1e9
    return Plan(way, tuple(stages), w.device, w.gpus, store, price, note)


def _labelling(w: Work, store: float) -> Stage:
    """Every device holds the whole teacher and asks it about rows of its own, as `understudy label` does."""
    h = w.how
    flops = w.tokens * costs.forward(w.teacher, h.length)
    need = costs.teaching(w.teacher, h.tokens, h.bits) + costs.LOSS
    return _longest("label", flops, need, {"operations": flops / (w.device.flops * h.forward * w.gpus), "disk": store / h.disk})


def _stage(w: Work, name: str, *, taught: bool = False, writes: bool = False, read: float = 0.0) -> Stage:
    """All visits of all students. read: bytes a token from the store."""
    h, n, s, t = w.how, w.gpus, w.student, w.teacher
    tokens = w.tokens * h.epochs * h.students
    needs = {wide: _needed(w, taught, writes, n if wide else 1) for wide in ((False, True) if n > 1 else (False,))}
    sharded = n > 1 and (needs[False] > SPARE * w.device.memory if h.sharded is None else h.sharded)
    learning, asking = costs.step(s, h.checkpointing, h.length), costs.forward(t, h.length) if taught else 0.0
    compute = tokens * (learning / (w.device.flops * h.mfu) + asking / (w.device.flops * h.forward)) / n
    passes = tokens / (h.tokens * n)
    waits = {"operations": compute, "disk": tokens * read / h.disk, "network": passes * _sent(w, sharded, taught) / h.link}
    stage = _longest(name, tokens * (learning + asking), needs[sharded], waits)
    if writes:
        seconds = tokens / (h.length * h.batch * n) * _write(w, sharded)
        own = tokens * h.written * 2 * (s.inner + s.head)
        stage = replace(
            stage,
            flops=stage.flops + own,
            seconds=stage.seconds + seconds,
            bound="writing" if seconds > stage.seconds else stage.bound,
        )
    return replace(stage, sharded=sharded)


def _longest(name: str, flops: float, need: float, waits: dict[str, float]) -> Stage:
    """What goes on at once takes as long as the longest of it."""
    bound = max(waits, key=lambda k: waits[k])
    return Stage(name, flops, waits[bound], need, bound)


def _write(w: Work, sharded: bool) -> float:
    """Seconds of a batch of rows."""
    h = w.how
    more = h.written * h.length
    return costs.writing(w.student, h.batch, h.length - more, more, h.weights, flops=w.device.flops * h.forward, bandwidth=w.device.bandwidth * h.reach,
                         launch=h.launch, link=h.link if sharded else 0.0)  # fmt: skip


def _sent(w: Work, sharded: bool, taught: bool) -> float:
    """Bytes that a device gets and sends for a forward pass: gradients are averaged; of weights in parts the student's are gathered for both
    passes (and its gradients shared out), the teacher's for one."""
    if w.gpus == 1:
        return 0.0
    others = 1 - 1 / w.gpus
    size = costs.learning(w.student, how=w.how.weights)
    if not sharded:
        return 2 * others * size["gradients"]
    return others * (2 * size["weights"] + size["gradients"] + (costs.held(w.teacher, w.how.bits) if taught else 0.0))


def _needed(w: Work, taught: bool, writes: bool, gpus: int) -> float:
    h = w.how
    need = costs.memory(
        w.student,
        w.teacher if taught else None,
        tokens=h.tokens,
        again=h.checkpointing,
        bits=h.bits,
        gpus=gpus,
        how=h.weights,
        kept=False,
    )
    if not writes:
        return need
    own = costs.learning(w.student, gpus, h.weights)
    gathered = 0.0 if gpus == 1 else own["best"] / w.student.layers
    pen = (
        sum(own.values())
        - own["best"]
        + costs.held(w.teacher, h.bits) / gpus
        + costs.context(w.student, h.batch * h.length, h.weights)
        + gathered
    )
    return max(need, pen + 4.0 * h.batch * w.student.words)


# ------------------------------------------------------------------------------------------------------------------- where it doesn't fit

Change = tuple[str, Callable[[Work], Work]]


def _mends(w: Work, way: str) -> Iterator[str]:
    """Single changes that make it fit, or else the first few of them that do together."""
    changes = list(_changes(w, way))
    alone = [said for said, make in changes if _plan(make(w), way).fits]
    if alone:
        yield from alone
        return
    said, made = [], w
    for word, make in changes:
        said, made = [*said, word], make(made)
        if _plan(made, way).fits:
            yield " ".join(said)
            return


def _changes(w: Work, way: str) -> Iterator[Change]:
    def set_(**fields: Any) -> Callable[[Work], Work]:
        return lambda work: replace(work, how=replace(work.how, **fields))

    h = w.how
    if not h.checkpointing:
        yield "--checkpointing", set_(checkpointing=True)
    if h.sharded is False and w.gpus > 1:
        yield "--sharded", set_(sharded=True)
    if h.rows > 1:
        yield "--rows 1", set_(rows=1)
    if h.weights == "float32":
        yield "--weights bfloat16", set_(weights="bfloat16")
    if way == "on-policy" and h.batch > 8:
        yield "--batch 8", set_(batch=8)
    for bits in (8, 4):
        if bits < h.bits:
            yield f"--bits {bits}", set_(bits=bits)
    if h.weights != "lora":
        yield "--weights lora", set_(weights="lora")
    more = _enough(w, way)
    if more:
        yield f"--gpus {more}x{w.device.name}", lambda work: replace(work, gpus=more)
    larger = sorted((d for d in DEVICES.values() if d.memory > w.device.memory), key=lambda d: d.price)
    for d in larger:
        if _plan(replace(w, device=d), way).fits:
            yield f"--gpus {w.gpus}x{d.name}", lambda work, d=d: replace(work, device=d)  # type: ignore[misc]
            return


def _enough(w: Work, way: str) -> int:
    """Devices over which it would fit in parts; 0 where no number does."""
    gpus = w.gpus
    while gpus < 4096:
        gpus *= 2
        if _plan(replace(w, gpus=gpus), way).fits:
            return gpus
    return 0
