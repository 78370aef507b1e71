"""One kind of error for everything a user can mend: one line that names the field, its value, what is allowed and what to do."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable

SHORT = reprlib.Repr()  # of values that may be long, deep, or inside themselves
SHORT.maxlevel, SHORT.maxdict, SHORT.maxlist, SHORT.maxtuple, SHORT.maxset = 4, 16, 16, 16, 16
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 160


class Refused(ValueError):
    """Something from outside (a setting, a file, a model, a row) can't be used as it is; the message says what and how to mend it."""


class NotFinite(Refused):
    """A loss term or a gradient became NaN or infinite; the run stopped before the weights took it in, and is as it was before that step."""


class Unwritable(Refused, OSError):
    """The disk took nothing: it is full, read-only or not ours. What was there before is still there."""


class TapError(Refused):
    """A tap names a module that isn't there, never fires, or gives what its reader can't use."""


class Sealed(Refused):
    """The test split was touched while something was learning."""


def refuse(field: str, value: object, allowed: str, mend: str = "") -> Refused:
    """`kd.t=0 is not allowed: a number in [0.01, 100]; raise it` as an exception to be raised by the caller. One line, of at most
    about 600 letters: what is longer loses its middle."""
    mend = f"; {_cut(mend, 160)}" if mend else ""
    return Refused(f"{_cut(field, 80)}={_cut(shown(value), 160)} is not allowed: {_cut(allowed, 300)}{mend}")


def shown(value: object) -> str:
    """A value as Python writes it, shortened; of what can't be written, its kind."""
    try:
        return SHORT.repr(value)
    except Exception:  # an object's own, or a number of thousands of digits
        return f"<{type(value).__name__}>"


def _cut(text: str, most: int) -> str:
    text = " ".join(text.encode("utf-8", "backslashreplace").decode().split())
    return text if len(text) <= most else f"{text[: most * 2 // 3]} … {text[-most // 3 :]}"


def nearest(word: object, known: Iterable[str], most: int = 3) -> str:
    """` (did you mean 'a', 'b'?)`, or nothing where no name is near."""
    near = difflib.get_close_matches(word, list(known), n=most, cutoff=0.5) if isinstance(word, str) else ()
    return f" (did you mean {', '.join(repr(n) for n in near)}?)" if near else ""
