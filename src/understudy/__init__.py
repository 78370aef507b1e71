"""Understudy trains small models to stand in for big ones, by every published way of doing it.

import understudy
run = understudy.distill(teacher="digits", student="tiny-cnn?width=3", data="digits", method="kd")
run.report(), run.export("student.onnx")
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime reads it when it is loaded; else it speaks to its makers

if TYPE_CHECKING:
    from understudy import data, methods, models, parts, tasks, teachers, worlds
    from understudy.advice import advise
    from understudy.checks import doctor
    from understudy.config import Config, Training
    from understudy.core.errors import NotFinite, Refused, Sealed, TapError
    from understudy.job import Job, distill, plan, resume
    from understudy.loops import Criterion
    from understudy.rehearsal import rehearse

__version__ = "0.1.0"

# imported when first asked for, so that `import understudy` costs nothing
_NAMES = {
    "distill": "job", "plan": "job", "resume": "job", "Job": "job", "Config": "config", "Training": "config", "doctor": "checks",
    "Criterion": "loops", "rehearse": "rehearsal", "advise": "advice",
    "Refused": "core.errors", "TapError": "core.errors", "NotFinite": "core.errors", "Sealed": "core.errors",
}  # fmt: skip
_MODULES = ("data", "methods", "models", "parts", "tasks", "teachers", "worlds")

__all__ = ["Config", "Criterion", "Job", "NotFinite", "Refused", "Sealed", "TapError", "Training", "advise", "data", "distill", "doctor", "methods", "models",
           "parts", "plan", "rehearse", "resume", "tasks", "teachers", "worlds"]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"understudy.{_NAMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"understudy.{name}")
    raise AttributeError(f"module 'understudy' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
