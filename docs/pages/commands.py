"""Command lines that stand on pages, read as the command line itself reads them."""

from __future__ import annotations

import functools
import itertools
import re
import shlex
from typing import Any

import typer

from understudy.cli import app
from understudy.core.registry import files


@functools.cache
def _known() -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def shown(text: str) -> list[str]:
    """The understudy commands in a page's `sh` blocks, comments and continued lines joined."""
    blocks = re.findall(r"^```(?:sh|bash)\n(.*?)^```", text, flags=re.M | re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip().removeprefix("$ ") for line in lines if re.match(r"\s*(\$ )?understudy ", line)]


def fault(line: str) -> str:
    """What the command line would refuse about a line, before anything runs; '' where it takes it."""
    words = shlex.split(line, comments=True)
    known = _known()
    if len(words) < 2 or words[1] not in known:
        return f"no command {' '.join(words[1:2])!r}"
    try:
        known[words[1]].make_context(words[1], words[2:])
    except Exception as e:
        return str(getattr(e, "message", e))
    named = [w for flag, w in itertools.pairwise(words) if flag == "--method"]
    unknown = [n for n in named if n.partition("?")[0] not in {*files(), "compose"}]
    return f"no method {unknown[0]!r}" if unknown else ""
