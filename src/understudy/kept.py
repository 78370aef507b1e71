"""What runs, proofs and studies wrote down for themselves, read with care: it may be half a file, or somebody's edit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from understudy.core.errors import Refused, refuse

WRONG = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)  # what reading another shape ends in


@contextmanager
def understood(path: Path, what: str, mend: str = "it is damaged: delete it to begin anew") -> Iterator[None]:
    """Inside, whatever goes wrong for what a file holds is refused by its name. what: it should hold."""
    try:
        yield
    except Refused:
        raise
    except WRONG as e:
        why = " ".join(f"{type(e).__name__}: {e}".split())
        raise refuse("file", str(path), f"{what}, as it was written ({why})", mend) from None


def proofs(folder: Path, name: str) -> list[Path]:
    """Where a method is proved: on the rows of its world's own first, then on real ones, in a folder named after each."""
    file = f"{name.replace('-', '_')}.json"
    found = (folder / file, *sorted(p for p in folder.glob(f"*/{file}") if p.parent.name != "studies"))
    return [path for path in found if path.is_file()]


def table(path: Path) -> dict[str, Any]:
    """A JSON file with an object at its top. Raises `ValueError` where it is something else, and `OSError` where there is none."""
    found = json.loads(path.read_bytes())
    if not isinstance(found, dict):
        raise ValueError(f"{type(found).__name__} at its top")
    return found
