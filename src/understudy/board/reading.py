"""One run's folder as plain data, whatever wrote it: what is missing, damaged or of another version is left out."""

from __future__ import annotations

import json
import math
import os
import re
import stat
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from understudy.report.shares import is_share

MOST = 2**27  # bytes of a file that are read
DEEP = 20  # tables inside of tables of a configuration that are told apart
NAMED = re.compile(r"(\d{4}-\d\d-\d\d-\d{6})(?:-|$)")  # a run's name begins with when it was begun
Measure = tuple[str, str, Any]  # name, kind (share, score, number, count, bytes, ms, seconds), value


def loads(text: str | bytes) -> Any:
    """JSON in which numbers that aren't finite are None, since a browser takes no others. Raises `ValueError`."""
    return json.loads(text, parse_constant=lambda _: None, parse_float=_finite)


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def table(value: Any) -> dict[str, Any]:
    """The value where it is a dictionary, else an empty one."""
    return value if isinstance(value, dict) else {}


def number(value: Any) -> float | None:
    """The value where it is a finite number."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return value if known else None


def word(value: Any) -> str:
    """The value where it is text, else nothing."""
    return value if isinstance(value, str) else ""


def plain(s: os.stat_result) -> bool:
    """Whether it is a file that ends, and soon: no pipe, no device."""
    return stat.S_ISREG(s.st_mode) and s.st_size <= MOST


class Read:
    """A JSON file that is parsed again only when it was replaced. `value` is {} where there is none; `error` says what is wrong."""

    def __init__(self, path: Path) -> None:
        self.path, self.stamp, self.value, self.error = path, None, {}, ""

    stamp: tuple[int, int, int] | None
    value: dict[str, Any]

    def look(self) -> dict[str, Any]:
        """What it holds now."""
        try:
            s = os.stat(self.path)
            stamp = (s.st_ino, s.st_mtime_ns, s.st_size)
            if stamp != self.stamp:
                self.stamp, self.error = stamp, ""
                if not plain(s):
                    raise OSError
                self.value = table(loads(self.path.read_bytes()))
        except FileNotFoundError:
            self.stamp, self.value, self.error = None, {}, ""
        except (OSError, ValueError, RecursionError) as e:
            self.value, self.error = {}, f"{self.path.name} can't be read ({type(e).__name__})"
        return self.value


class Points:
    """metrics.jsonl, of which only what is new is read. A run that goes on after a stop replaces the file: then it is read anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._forget(None)

    def _forget(self, which: tuple[int, int] | None) -> None:
        self.which, self.at, self.points, self.seen = which, 0, list[dict[str, Any]](), 0

    def look(self) -> list[dict[str, Any]]:
        """All points so far; a line that is being written is left for the next look."""
        try:
            if not plain(os.stat(self.path)):
                raise OSError
            with open(self.path, "rb") as f:
                s = os.fstat(f.fileno())
                if (s.st_dev, s.st_ino) != self.which or s.st_size < self.at:
                    self._forget((s.st_dev, s.st_ino))
                if s.st_size > self.at:
                    f.seek(self.at)
                    new = f.read()
                    whole = new[: new.rfind(b"\n") + 1]
                    self.at += len(whole)
                    self.points += [p for p in map(_point, whole.splitlines()) if p]
        except OSError:
            self._forget(None)
        return self.points

    def last(self, phase: str) -> dict[str, Any]:
        """Of a phase: the furthest step, and the latest score on the validation rows."""
        mine = [p for p in self.points if p["phase"] == phase]
        scores = [p["valid"] for p in mine if number(p.get("valid")) is not None]
        return {"step": max((p["step"] for p in mine), default=None), "valid": scores[-1] if scores else None}


def _point(line: bytes) -> dict[str, Any] | None:
    try:
        p = table(loads(line))
    except (ValueError, RecursionError):
        return None
    return p if isinstance(p.get("phase"), str) and number(p.get("step")) is not None else None


def series(points: list[dict[str, Any]]) -> dict[str, dict[str, list[list[float]]]]:
    """phase -> name -> [steps, values], as a chart takes them."""
    found: dict[str, dict[str, list[list[float]]]] = {}
    for p in points:
        for name, value in p.items():
            if name not in ("phase", "step") and number(value) is not None:
                steps, values = found.setdefault(p["phase"], {}).setdefault(name, [[], []])
                steps.append(p["step"])
                values.append(value)
    return found


def begun(name: str, *otherwise: Any) -> float:
    """Seconds since 1970 when a run was begun: what its name says, else the first number of the others."""
    found = NAMED.match(name.rpartition("/")[2])
    if found:
        try:
            return datetime.strptime(found[1], "%Y-%m-%d-%H%M%S").timestamp()
        except ValueError:
            pass
    return next((v for v in otherwise if number(v) is not None), time.time())


def settings(config: dict[str, Any], deep: int = DEEP) -> dict[str, Any]:
    """A configuration as `training.lr` -> 0.05."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{k}": v for k, v in settings(value, deep - 1).items()} if deep else {key: "…"}
        else:
            flat[key] = value
    return flat


def asked(kept: dict[str, Any]) -> dict[str, Any]:
    """What a run was asked for, of its config.json."""
    config = table(kept.get("config"))
    rows, training = table(config.get("data")), table(config.get("training"))
    return {
        "teacher": word(config.get("teacher")),
        "student": word(config.get("student")),
        "method": word(table(config.get("method")).get("name")),
        "data": word(rows.get("address")),
        "task": word(rows.get("task")),
        "seed": number(training.get("seed")),
        "objects": [word(o) for o in kept["objects"]] if isinstance(kept.get("objects"), list) else [],
    }


def outcome(f: dict[str, Any]) -> dict[str, Any]:
    """What a run found, of its findings.json; of a language model the score is its perplexity, where less is better."""
    heard = table(f.get("heard"))
    cast = {who: table(heard.get(who) if heard else f.get(who)) for who in ("teacher", "student", "alone")}
    student, teacher = cast["student"], cast["teacher"]
    if heard:
        scores = {who: _perplexity(m.get("nll")) for who, m in cast.items()}
        speed = number(student.get("speed"))
        own = {"task": "lm", "metric": "perplexity", "down": True, "share": False, "per": "token",
               "latency": 1000 / speed if speed else None, "kept": _over(scores["teacher"], scores["student"])}  # fmt: skip
    else:
        scores = {who: number(m.get("score")) for who, m in cast.items()}
        metric = word(f.get("metric"))
        own = {"task": word(f.get("task")), "metric": metric, "down": False, "per": "row", "latency": number(student.get("latency_ms")) or None,
               "share": all(is_share(metric, v) for v in scores.values() if v is not None), "kept": _over(scores["student"], scores["teacher"])}  # fmt: skip
    return own | {
        "score": scores["student"],
        "teacher_score": scores["teacher"],
        "alone_score": scores["alone"],
        "agreement": number(f.get("agreement")),
        "parameters": number(student.get("parameters")) or None,
        "teacher_parameters": number(teacher.get("parameters")) or None,
        "bytes": number(student.get("bytes")) or None,
        "teacher_latency": number(teacher.get("latency_ms")) or None,
        "seconds": number(f.get("seconds")),
    }


def measures(row: dict[str, Any], f: dict[str, Any]) -> list[Measure]:
    """Everything that is measured of a finished run, to be laid beside another's."""
    student = table(table(f.get("heard")).get("student") or f.get("student"))
    examined = table(f.get("examined"))
    score = "share" if row["share"] else "score"
    found: list[Measure] = [
        (row["metric"], score, row["score"]),
        (f"{row['metric']} of the teacher", score, row["teacher_score"]),
        (f"{row['metric']} without a teacher", score, row["alone_score"]),
        ("kept of the teacher", "share", row["kept"]),
        ("agreement with the teacher", "share" if f.get("task") != "regress" else "number", row["agreement"]),
    ]
    metrics = table(student.get("metrics")) or {k: student.get(k) for k in ("accuracy",) if k in student}
    for name, value in metrics.items():
        if name != row["metric"] and number(value) is not None:
            found.append((name, "share" if is_share(name, value) else "number", value))
    error = examined.get("calibration_student", student.get("calibration"))
    found += [
        ("calibration error", "share", number(error)),
        ("KL to the teacher, nats a token", "number", number(f.get("divergence"))),
        ("parameters", "count", row["parameters"]),
        ("size", "bytes", row["bytes"]),
        (f"time a {row['per']}", "ms", row["latency"]),
        ("trained for", "seconds", row["seconds"]),
    ]
    return [m for m in found if m[2] is not None]


def _over(one: float | None, other: float | None) -> float | None:
    """A share of a score that is positive, else None."""
    return one / other if one is not None and other is not None and one >= 0 and other > 0 else None


def _perplexity(nll: Any) -> float | None:
    value = number(nll)
    return None if value is None else math.exp(min(value, 700))
