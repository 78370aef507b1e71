"""Settings that know their range: a number appears once, in its field, with what it may be."""

from __future__ import annotations

from dataclasses import field, fields
from typing import Any

from understudy.core.errors import nearest, refuse


def span(default: float, lo: float, hi: float) -> Any:
    """A number with the closed range it must stay in; an integer default asks for integers."""
    return field(default=default, metadata={"span": (lo, hi)})


def choice(default: str, *others: str) -> Any:
    """One of a few words."""
    return field(default=default, metadata={"choice": (default, *others)})


def at(default: str | tuple[str, ...], *nets: str) -> Any:
    """Where to tap the networks named: a module's dotted name (`layer3`, `layer3:in`), or 'penultimate', 'stage:-1', 'stages'."""
    return field(default=default, metadata={"at": nets or ("student", "teacher")})


def check(settings: Any, where: str) -> None:
    """Refuse, by name, the first field of a dataclass that is of another kind than its default, or out of its range."""
    for f in fields(settings):
        value, name = getattr(settings, f.name), f"{where}.{f.name}" if where else f.name
        if "span" in f.metadata:
            lo, hi = f.metadata["span"]
            whole = isinstance(f.default, int)
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not lo <= value <= hi:
                kind = f"a whole number in [{lo}, {hi}]" if whole else f"a number in [{lo:g}, {hi:g}]"
                raise refuse(name, value, kind, f"the default is {f.default}")
        elif "choice" in f.metadata:
            if value not in f.metadata["choice"]:
                known = f.metadata["choice"]
                raise refuse(name, value, f"one of {', '.join(known)}{nearest(value, known)}")
        elif "at" in f.metadata:
            names = (value,) if isinstance(value, str) else value
            if not (isinstance(names, tuple) and names and all(isinstance(v, str) and v for v in names)):
                raise refuse(name, value, "a module's name, or a tuple of names", f"the default is {f.default!r}")
        elif isinstance(f.default, bool) and not isinstance(value, bool):
            raise refuse(name, value, "true or false")
        elif isinstance(f.default, str) and not (text(value) and (value or not f.default)):
            raise refuse(name, value, "text", f"the default is {f.default!r}" if f.default else "leave it out")


def text(value: object) -> bool:
    """Whether it is text that a file's name or a file can hold."""
    return isinstance(value, str) and "\0" not in value and value.encode("utf-8", "replace").decode() == value
