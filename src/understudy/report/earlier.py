"""Earlier runs of the same task on the same rows, read from the summaries that lie beside a run."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.kept import WRONG

MOST, READ = 24, 400  # runs that are shown, and summaries that are opened for them


@dataclass(frozen=True)
class Earlier:
    """Another run's student. score: in its metric, as a frontier draws it (a language model's is its perplexity); slow: milliseconds
    a row, or seconds a token."""

    run: str
    method: str
    student: str
    score: float
    bytes: int
    slow: float


def earlier(folder: Path, rows: str, now: Mapping[str, Any], most: int = MOST) -> list[Earlier]:
    """The newest of the other runs in the folder's folder that are about the same: rows: their hash; now: this run's summary, as plain
    data. What can't be read isn't there."""
    found: list[Earlier] = []
    for place in _newest(folder.parent)[:READ]:
        if place.name == folder.name:
            continue
        try:
            if json.loads((place / "config.json").read_text())["rows"] != rows:
                continue
            kept = json.loads((place / "findings.json").read_text())
            one = _spoken(place.name, kept, now) if "heard" in now else _plain(place.name, kept, now)
        except WRONG:
            continue
        if one is not None and math.isfinite(one.score) and one.bytes > 0:
            found.append(one)
        if len(found) == most:
            break
    return found


def _newest(runs: Path) -> list[Path]:
    """Folders with a summary, the latest first."""
    found = []
    try:
        with os.scandir(runs) as places:
            for place in places:
                try:
                    found.append((os.stat(os.path.join(place.path, "findings.json")).st_mtime, place.name))
                except OSError:
                    continue
    except OSError:
        return []
    return [runs / name for _, name in sorted(found, reverse=True)]


def _plain(run: str, kept: dict[str, Any], now: Mapping[str, Any]) -> Earlier | None:
    if (kept["task"], kept["metric"]) != (now["task"], now["metric"]):
        return None
    s = kept["student"]
    return Earlier(
        run, str(kept["method"]["name"]), str(s["name"]), float(s["score"]), int(s["bytes"]), max(float(s["latency_ms"]), 0.0)
    )


def _spoken(run: str, kept: dict[str, Any], now: Mapping[str, Any]) -> Earlier | None:
    """Perplexities of other cuts of the text into tokens don't compare, so as many tokens are asked for."""
    s = kept["heard"]["student"]
    if kept["tokens"]["test"] != now["tokens"]["test"] or s["nll"] is None:
        return None
    name, perplexity = str(s["name"]), math.exp(min(float(s["nll"]), 700.0))
    return Earlier(run, str(kept["method"]), name, perplexity, int(s["bytes"]), 1 / max(float(s["speed"]), 1e-9))
