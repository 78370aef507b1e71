"""The test split is shut while anything learns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from understudy.core.errors import Sealed

_LEARNING: ContextVar[bool] = ContextVar("learning", default=False)


@contextmanager
def learning(yes: bool = True) -> Iterator[None]:
    """Inside, whoever reads a test split is refused. `learning(False)` lifts that: for the world itself, which scores what is
    learning and tells it nothing."""
    token = _LEARNING.set(yes)
    try:
        yield
    finally:
        _LEARNING.reset(token)


def check(what: str) -> None:
    """Raises `Sealed` while something is learning."""
    if _LEARNING.get():
        raise Sealed(f"{what} was read during fit: it is kept for the score at the end; choose on the validation split instead")
