"""What a model is for: its hard loss, its plainest soft loss, its metrics, its predictions. One file a task, named after it."""

from __future__ import annotations

import importlib
from pathlib import Path

from understudy.core.errors import nearest, refuse
from understudy.tasks.base import Task
from understudy.tasks.classify import Classify
from understudy.tasks.multilabel import Multilabel
from understudy.tasks.regress import Regress


def _find(stem: str) -> Task:
    found: Task = getattr(importlib.import_module(f"understudy.tasks.{stem}"), stem.title().replace("_", ""))()
    return found


TASKS: dict[str, Task] = {
    t.name: t for t in (_find(p.stem) for p in sorted(Path(__file__).parent.glob("[!_]*.py")) if p.stem != "base")
}


def task(name: str) -> Task:
    """The task of that name. Raises `Refused` with the nearest names."""
    if name not in TASKS:
        raise refuse("task", name, f"one of {', '.join(TASKS)}{nearest(name, TASKS)}")
    return TASKS[name]


__all__ = ["TASKS", "Classify", "Multilabel", "Regress", "Task", "task"]
