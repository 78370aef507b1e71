"""Everything from outside has an address, `scheme:place?option=value&option=value`, and settings with a range."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from understudy.core.errors import nearest, refuse


@dataclass(frozen=True)
class Address:
    """`csv:rows.csv?target=price` taken apart; everything after the first `?` is options."""

    text: str
    scheme: str
    place: str
    options: dict[str, str]

    def only(self, known: Iterable[str]) -> None:
        """Refuse, by name, options that the scheme doesn't have."""
        known = list(known)
        for name, value in self.options.items():
            if name not in known:
                raise refuse(name, value, f"'{self.scheme}' takes {', '.join(known) or 'no options'}{nearest(name, known)}")


def parse(address: str) -> Address:
    """Raises `Refused` where it isn't text, or its options can't be told apart."""
    if not isinstance(address, str):
        raise refuse("address", address, "text, scheme:place", "for instance 'csv:rows.csv'")
    head, _, query = address.partition("?")
    scheme, _, place = head.partition(":")
    try:
        pairs = parse_qsl(query, strict_parsing=True, keep_blank_values=True) if query else []
        if len(dict(pairs)) < len(pairs):
            raise ValueError
    except ValueError:
        shown = address if scheme != "openai" else "openai:…"  # it may hold a key, by mistake
        raise refuse("address", shown, "options as in a URL, each once", "write ?name=value&name=value") from None
    return Address(address, scheme, place, dict(pairs))


def whole(field: str, value: object, lo: int, hi: int) -> int:
    """An integer in [lo, hi], from text or as it is."""
    try:
        number = int(str(value))
    except ValueError:
        number = lo - 1
    if isinstance(value, bool) or not lo <= number <= hi:
        raise refuse(field, value, f"a whole number in [{lo}, {hi}]")
    return number


def share(field: str, value: object, most: str = "below 1") -> float:
    """A fraction above 0 and below 1 (`most="at most 1"`: 1 too), from text or as it is."""
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not (0 < number < 1 or (number == 1 and most != "below 1")):
        raise refuse(field, value, f"a fraction above 0 and {most}")
    return number


def switch(field: str, value: str) -> bool:
    """'true' or 'false' (1 or 0, yes or no)."""
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if value.lower() not in words:
        raise refuse(field, value, "true or false")
    return words[value.lower()]


def need(module: str, package: str = "") -> Any:
    """An optional package, imported now, or refused with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as e:
        package = package or module.partition(".")[0]
        raise refuse("package", package, f"it has to be importable here ({e})", f"pip install {package}") from None
