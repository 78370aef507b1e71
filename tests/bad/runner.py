"""What is asked of every refusal: it is one line that names the field, shows the value, says what is allowed and how to mend it, and nothing was
trained or half written."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from understudy.core import fit
from understudy.core.errors import Refused

LONGEST = 600
FORM = re.compile(r"(?P<field>.*?)=(?P<value>.*) is not allowed: (?P<allowed>.+)", re.S)
OBVIOUS = re.compile(  # where what is allowed is a range, a list of words or a plain kind of value, that is the mend
    r"\[\S+, \S+\]|one of |did you mean|true or false|a number|a whole number|a fraction|\btakes \w|can be set|a column: |has (no fields|\w+,|\w+$)|a word|text|names?\b|"
    r"at least|at most|or more|below|above|\(see `|online, on-policy|tensorboard, mlflow|or a tuple|numbers|a table|a list|, and a place|a path that ends in|without --|\b0 for "
)


@dataclass(frozen=True)
class Case:
    """make: puts what is bad into an empty folder, which is the working folder, and gives the call that ends in the refusal. field, value,
    allowed: what the message has to hold in these places; free: anywhere, since it isn't about one value."""

    name: str
    make: Callable[[Path], Callable[[], Any]]
    field: str
    value: str = ""
    allowed: str = ""
    free: bool = False


def look(message: str, case: Case) -> None:
    """The four parts of a message, its length, and that it is one line."""
    assert "\n" not in message
    assert "Traceback" not in message
    assert len(message) <= LONGEST, len(message)
    if case.free:
        for part in (case.field, case.value, case.allowed):
            assert part.lower() in message.lower(), f"{part!r} isn't told: {message}"
        return
    found = FORM.fullmatch(message)
    assert found, f"not of the form field=value is not allowed: ...: {message}"
    assert case.field in found["field"], f"the field is {case.field!r}: {message}"
    assert case.value in found["value"], f"the value is {case.value!r}: {message}"
    assert case.allowed.lower() in found["allowed"].lower(), f"allowed is {case.allowed!r}: {message}"
    assert "; " in found["allowed"] or OBVIOUS.search(found["allowed"]), f"no mend: {message}"


def tree(folder: Path) -> dict[str, str]:
    """Every file and folder below, and the bytes of files."""
    found = {}
    for p in sorted(folder.rglob("*")):
        at = p.relative_to(folder).as_posix()
        if p.is_symlink():
            found[at] = f"-> {p.readlink()}"
        else:
            found[at] = hashlib.blake2b(p.read_bytes(), digest_size=8).hexdigest() if p.is_file() else "folder"
    return found


def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training step is an error from now on."""

    def step(*_: Any) -> None:
        raise AssertionError("a training step was done")

    monkeypatch.setattr(fit, "_step", step)


def refused(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run one case in a folder of its own."""
    monkeypatch.chdir(folder)
    call = case.make(folder)
    before = tree(folder)
    untrained(monkeypatch)
    try:
        got = call()
    except Refused as e:
        look(str(e), case)
    else:
        raise AssertionError(f"accepted: {got!r:.300}")
    assert tree(folder) == before
