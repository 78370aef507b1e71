"""What is wrong with a planned run, found before it begins."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from understudy.checks import method as methods
from understudy.checks import rows as row_checks
from understudy.checks import teacher as teachers
from understudy.checks.finding import Bench, Finding
from understudy.core.method import Method
from understudy.core.seeds import stream
from understudy.core.world import World

if TYPE_CHECKING:
    from understudy.job import Job

__all__ = ["Finding", "doctor", "examine"]


def doctor(job: Job, *, rows: int = 256) -> list[Finding]:
    """Look a planned job over (`understudy.plan(config)`) without training or changing anything; rows: validation rows used.

    A teacher that the job will train first is judged by its shape alone. The test split's labels are never read.
    A language model's job was looked over when it was planned.
    """
    if job.world.task == "lm":
        return []
    return examine(job.world, job.method, job.data, trained=job.teacher_trained, rows=rows)


def examine(world: World, method: Method, data: Any = None, *, trained: bool = True, rows: int = 256) -> list[Finding]:
    """The same for any world and method. data: three splits, and what is known of their classes and statistics, where the
    world's own don't tell; trained: whether the teacher's answers can be judged already."""
    with _as_found():
        bench = Bench(world, method, data, trained=trained, most=rows)
        found = [*row_checks.check(bench), *teachers.check(bench)]
        if not any(f.level == "error" and f.name in ("answers", "class-count", "rows", "labels") for f in found):
            found += methods.check(bench)
    return found


@contextmanager
def _as_found() -> Iterator[None]:
    """Every stream of chance as it was."""
    plain, array = random.getstate(), np.random.get_state()
    try:
        with stream("doctor"):
            yield
    finally:
        random.setstate(plain)
        np.random.set_state(array)
