"""Methods by name: `methods.kd(t=4.0)`, `methods.compose(methods.kd(), methods.fitnet())`. A method is imported when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from understudy.core import registry

if TYPE_CHECKING:
    from understudy.core.method import Method


def compose(*parts: Method, weights: tuple[float, ...] | list[float] = (), schedules: tuple[str, ...] | list[str] = ()) -> Method:
    """Several methods at once (see `understudy.compose.Compose`); schedules: 'constant', 'rise', 'fall' or 'cosine', one a method."""
    from understudy.compose import Compose

    return Compose(parts, weights, schedules)  # type: ignore[arg-type]  # it makes tuples of lists


def __getattr__(name: str) -> Any:
    if name.replace("_", "-") not in registry.files():
        raise AttributeError(f"module 'understudy.methods' has no attribute '{name}'")
    return registry.get(name)


def __dir__() -> list[str]:
    return ["compose", *(n.replace("-", "_") for n in registry.files())]
