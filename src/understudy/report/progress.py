"""How far a run is: bars on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from understudy.report.findings import is_share
from understudy.report.words import percent

EVERY = 15.0  # seconds between two lines of a log
WINDOW = 30.0  # seconds that a rate is the mean of

Clock = Callable[[], float]


class Meter:
    """One phase: how far, how fast, how long still, and the latest figures by name."""

    def __init__(self, phase: str, clock: Clock) -> None:
        self.phase, self.clock, self.begun = phase, clock, clock()
        self.step, self.steps, self.work, self.unit = 0, 0, 1.0, "steps"
        self.figures: dict[str, float] = {}
        self._seen: deque[tuple[float, int]] = deque()

    def at(self, step: int, steps: int) -> None:
        self.step, self.steps = step, steps
        self._seen.append((self.clock(), step))
        while len(self._seen) > 2 and self._seen[-1][0] - self._seen[1][0] >= WINDOW:
            self._seen.popleft()

    @property
    def speed(self) -> float:
        """Steps a second; 0 where that isn't known yet."""
        (t0, first), (t1, last) = self._seen[0], self._seen[-1]
        return (last - first) / (t1 - t0) if t1 > t0 else 0.0

    @property
    def rate(self) -> str:
        """`1,310 rows/s`, or in seconds where a step takes longer than one."""
        speed = self.speed * self.work
        if not speed:
            return ""
        return f"{speed:,.0f} {self.unit}/s" if speed >= 10 else f"{speed:.2g} {self.unit}/s"

    @property
    def left(self) -> str:
        """`0:12 left`, `took 0:34` at the end, nothing where it isn't known yet."""
        if self.step >= self.steps:
            return f"took {_clock(self._seen[-1][0] - self.begun)}"
        return f"{_clock((self.steps - self.step) / self.speed)} left" if self.speed else ""

    @property
    def said(self) -> str:
        """`hard 0.213 · soft 0.0123 · valid accuracy 97.1 %`"""
        return " · ".join(
            f"{k.removeprefix('loss/')} {_figure(k, v)}" for k, v in self.figures.items() if not k.startswith("grad/")
        )


class Bars:
    """`bars(phase, step, steps)` says how far a phase is; `bars.note(values, work, unit)` what was seen at its latest step: figures by
    name, and how many rows or tokens a step is worth."""

    def __init__(self, show: Callable[[Meter], None], clock: Clock) -> None:
        self._show, self._clock, self._meters = show, clock, dict[str, Meter]()

    def __call__(self, phase: str, step: int, steps: int) -> None:
        meter = self._meters.setdefault(phase, Meter(phase, self._clock))
        meter.at(step, steps)
        self._show(meter)

    def note(self, phase: str, values: Mapping[str, float], work: float = 0.0, unit: str = "steps") -> None:
        meter = self._meters.setdefault(phase, Meter(phase, self._clock))
        meter.figures |= values
        if work:
            meter.work, meter.unit = work, unit


@contextmanager
def bars(console: Console | None = None, *, quiet: bool = False, clock: Clock = time.monotonic) -> Iterator[Bars]:
    """Progress on the error stream: bars with rate, time left and the figures where it is a terminal; else a plain line for every phase
    that ends, and one every 15 seconds. quiet: nothing at all."""
    console = console or Console(stderr=True)
    if quiet:
        yield Bars(lambda _: None, clock)
    elif console.is_interactive or console.is_jupyter:
        with _Bars(console=console, expand=True) as progress:
            yield Bars(progress.show, clock)
    else:
        yield Bars(_Lines(console, clock).show, clock)


class _Bars(Progress):
    """The phases, one below the other, and below them what the running one says."""

    def __init__(self, **how: object) -> None:
        self.known: dict[str, TaskID] = {}
        self.latest: Meter | None = None
        columns = (
            TextColumn("{task.description}", style="bold"),
            BarColumn(None),
            MofNCompleteColumn(),
            _Column("rate"),
            _Column("left"),
        )
        super().__init__(*columns, **how)  # type: ignore[arg-type]

    def show(self, meter: Meter) -> None:
        self.latest = meter
        if meter.phase not in self.known:
            self.known[meter.phase] = self.add_task(meter.phase, total=meter.steps, meter=meter)
        self.update(self.known[meter.phase], completed=meter.step, total=meter.steps)

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if self.latest is not None and self.latest.said:
            yield Text(f"{self.latest.phase}: {self.latest.said}", "dim", no_wrap=True, overflow="ellipsis")


class _Column(ProgressColumn):
    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__()

    def render(self, task: Task) -> Text:
        return Text(getattr(task.fields["meter"], self.what), "cyan" if self.what == "rate" else "dim", no_wrap=True)


class _Lines:
    def __init__(self, console: Console, clock: Clock) -> None:
        self.console, self.clock, self.ended = console, clock, set[str]()
        self.last: float | None = None  # the first phase begins when it is first shown

    def show(self, meter: Meter) -> None:
        self.last = self.clock() if self.last is None else self.last
        ends = meter.step >= meter.steps and meter.phase not in self.ended
        if ends or (self.clock() - self.last >= EVERY and meter.step < meter.steps):
            self.last = self.clock()
            self.ended |= {meter.phase} if ends else set()
            parts = (f"{meter.phase}  {meter.step:,}/{meter.steps:,}", meter.rate, meter.left, meter.said)
            self.console.print("  ".join(p for p in parts if p), soft_wrap=True, markup=False, highlight=False)


def _figure(name: str, value: float) -> str:
    metric = name.removeprefix("valid ")
    return percent(value) if metric != name and is_share(metric, value) else f"{value:.3g}"


def _clock(seconds: float) -> str:
    """`0:07`, `1:02:03`"""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
