"""The runs of a folder, read as they grow: what hasn't changed isn't read again."""

from __future__ import annotations

import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from understudy.alive import FILE, HELD
from understudy.board import launch, reading
from understudy.board.launch import Launch, Wish
from understudy.core.errors import refuse

DEPTH = 3  # folders below the first in which runs are looked for
PAUSE = 0.2  # seconds in which a second look sees what the first saw
SETTLED = 2.0  # seconds after which a folder's time stamp is sure to change with it
OPEN = ("stopped", "killed", "failed")  # states that a run can go on from
NO_OUTCOME: dict[str, Any] = {"metric": "", "share": False, "down": False, "score": None}


class Kept:
    """One run: its files, and its row of the table as it was last seen."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.config, self.said, self.found = (reading.Read(folder / f) for f in ("config.json", FILE, "findings.json"))
        self.points = reading.Points(folder / "metrics.jsonl")
        self.row: dict[str, Any] = {}
        self._stamp: int | None = None
        self._dead: tuple[Any, ...] = ()
        self.told = False  # to stop

    def look(self, stamp: int, launched: Launch | None) -> dict[str, Any]:
        """Its row now. stamp: of its folder, which changes when a file in it is replaced."""
        running = self.said.value.get("state") == "running"
        if stamp == self._stamp and not running and launched is None:
            return self.row
        if stamp != self._stamp:
            kept, said, found = self.config.look(), self.said.look(), self.found.look()
            self._stamp = stamp if time.time() - stamp / 1e9 > SETTLED else None
        else:
            kept, said, found = self.config.value, self.said.value, self.found.value
        if not reading.table(kept.get("config")) and not self.config.error:  # somebody else's config.json
            self.row = {}
            return self.row
        state = self._state(said, found)
        row = reading.asked(kept) | NO_OUTCOME
        if found and state != "running":
            outcome = reading.outcome(found)
            row |= outcome | {"task": outcome["task"] or row["task"]}
        else:
            self.points.look()
            phase = reading.word(said.get("phase")) or "student"
            row |= {"phase": phase} | {k: reading.number(said.get(k)) for k in ("first", "steps", "at")} | self.points.last(phase)
            if phase != "student":
                row["valid"] = self.points.last("student")["valid"]
        error = self.config.error or self.found.error or self.said.error or reading.word(said.get("error"))
        if launched is not None and state in OPEN and launched.process.pid != said.get("pid"):
            state, error = ("starting", "") if launched.alive else (state, launched.last_words)  # it didn't come to say who it is
        if self.told and state == "running":
            state = "stopping"
        self.row = row | {
            "id": self.name, "state": state, "error": error, "began": reading.begun(self.name, said.get("since"), stamp / 1e9),
            "report": (self.folder / "report.html").is_file(), "host": reading.word(said.get("host")) if state == "running" and said.get("host") != platform.node() else "",
            "log": launched is not None,
        }  # fmt: skip
        return self.row

    def _state(self, said: dict[str, Any], found: dict[str, Any]) -> str:
        state = reading.word(said.get("state"))
        if state != "running":
            self.told = False
            return state if state in ("finished", *OPEN) else "finished" if found else "stopped"
        who = (said.get("host"), said.get("pid"), said.get("since"))
        if said.get("host") == platform.node() and (who == self._dead or launch.process(said) is None):
            self._dead, self.told = who, False
            return "killed"
        return "running"


class Index:
    """All runs below a folder. `look` is cheap where nothing changed; every row that changes gets the next `version`."""

    def __init__(self, folder: Path, program: Sequence[str] = launch.PROGRAM) -> None:
        self.folder, self.program = folder, program
        self.epoch, self.version = secrets.token_hex(4), 0
        self._runs: dict[str, Kept] = {}
        self._rows: dict[str, tuple[int, dict[str, Any]]] = {}  # name -> the version it is of, and the row
        self._gone: dict[str, int] = {}
        self._launched: dict[str, Launch] = {}
        self._looked = 0.0
        self._lock = threading.RLock()

    def look(self, *, now: bool = False) -> int:
        """See what changed, and return the version. now: also a moment after the last look."""
        with self._lock:
            if now or time.monotonic() - self._looked > PAUSE:
                found = {name: self._kept(name, path).look(stamp, self._launched.get(name)) for name, path, stamp in self._walk()}
                self._runs = {name: self._runs[name] for name in found}
                seen = {name: row for name, row in found.items() if row}
                for name, started in self._launched.items():
                    started.arrived |= name in found
                    if not started.arrived and (started.alive or not started.told):
                        seen[name] = _pending(name, started)
                self._note(seen)
                self._looked = time.monotonic()
            return self.version

    def _note(self, seen: dict[str, dict[str, Any]]) -> None:
        changed = {
            k: row for k, row in seen.items() if k not in self._rows or (self._rows[k][1] is not row and self._rows[k][1] != row)
        }
        gone = self._rows.keys() - seen.keys()
        self.version += bool(changed or gone)
        self._rows |= {name: (self.version, row) for name, row in changed.items()}
        self._gone = {k: v for k, v in self._gone.items() if k not in seen} | dict.fromkeys(gone, self.version)
        for name in gone:
            del self._rows[name]

    def _kept(self, name: str, folder: str) -> Kept:
        if name not in self._runs:
            self._runs[name] = Kept(name, Path(folder))
        return self._runs[name]

    def _walk(self) -> Iterator[tuple[str, str, int]]:
        """Name, folder and time stamp of each run. A folder with a config.json is one, and isn't looked into."""
        below = [("", str(self.folder), 0)]
        while below:
            prefix, folder, depth = below.pop()
            try:
                with os.scandir(folder) as entries:
                    inside = [e for e in entries if not e.name.startswith(".") and e.is_dir() and self._ours(e)]
            except OSError:
                continue
            for e in inside:
                name = f"{prefix}{e.name}"
                try:
                    if name in self._runs or os.path.isfile(os.path.join(e.path, "config.json")):
                        yield name, e.path, e.stat().st_mtime_ns
                    elif depth < DEPTH and not e.is_symlink():
                        below.append((f"{name}/", e.path, depth + 1))
                except OSError:  # gone in between
                    continue

    def _ours(self, entry: os.DirEntry[str]) -> bool:
        """A link may lead to another place below the folder, and nowhere else."""
        return not entry.is_symlink() or Path(entry.path).resolve().is_relative_to(self.folder.resolve())

    # what is asked of it ----------------------------------------------------------------------------------------------------------

    def changes(self, epoch: str = "", since: int = 0) -> dict[str, Any]:
        """Rows that changed after a version, and names of runs that went. Another epoch than this index's knows nothing yet."""
        with self._lock:
            version = self.look()
            since = since if epoch == self.epoch and since <= version else 0
            rows = [row for version_, row in self._rows.values() if version_ > since]
            gone = [name for name, at in self._gone.items() if at > since] if since else []
            return {"epoch": self.epoch, "version": version, "whole": since == 0, "now": time.time(), "runs": rows, "gone": gone}

    def row(self, name: str) -> dict[str, Any]:
        """The row of a run by name. Raises `Refused` where there is none."""
        self.look(now=True)
        if name not in self._rows:
            raise refuse("run", name, f"a run in {self.folder}")
        return self._rows[name][1]

    def file(self, name: str, file: str) -> Path:
        """A file of a run. Raises `Refused` where it isn't there, or lies elsewhere."""
        folder = self._run(name).folder
        path = folder / file
        if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
            raise refuse("file", file, f"a file of the run {name}")
        return path

    def log(self, name: str) -> str:
        """What a run said that was started here."""
        if name not in self._launched:
            raise refuse("run", name, "a run that was started here")
        return launch.tail(self._launched[name].log)

    def _run(self, name: str) -> Kept:
        self.row(name)
        if name not in self._runs:
            raise refuse("run", name, "a run that has begun")
        return self._runs[name]

    def beside(self, names: Sequence[str]) -> dict[str, Any]:
        """Runs side by side: what was asked, what was measured, and the learning curves."""
        with self._lock:
            runs = [self._run(name) for name in dict.fromkeys(names)]
            flat = [reading.settings(reading.table(r.config.value.get("config"))) for r in runs]
            keys = [k for k in dict.fromkeys(k for f in flat for k in f) if k != "folder"]
            said = [{"name": k, "values": [f.get(k) for f in flat]} for k in keys]
            told = [reading.measures(r.row, r.found.value) if r.row.get("score") is not None else [] for r in runs]
            kinds = dict.fromkeys((name, kind) for measures in told for name, kind, _ in measures)
            values = [{(n, k): v for n, k, v in measures} for measures in told]
            return {
                "runs": [r.row for r in runs],
                "settings": [s | {"differs": any(v != s["values"][0] for v in s["values"])} for s in said],
                "measures": [{"name": n, "kind": k, "values": [v.get((n, k)) for v in values]} for n, k in kinds],
                "curves": [reading.series(r.points.look()) for r in runs],
            }

    def stamp(self, names: Sequence[str]) -> str:
        """Changes when `beside` does."""
        with self._lock:
            self.look()
            return "-".join([self.epoch, *(str(self._rows[n][0]) for n in names if n in self._rows)])

    # what is done -----------------------------------------------------------------------------------------------------------------

    def start(self, wish: Wish) -> str:
        """Start a run, and return its name. Raises `Refused` where that name is taken or none."""
        with self._lock:
            name = launch.named(wish)
            if (self.look(now=True) and name in self._rows) or os.path.lexists(self.folder / name):
                raise refuse("name", name, "a run that isn't there yet", "choose another name")
            asked = {"method": wish.method or "kd", "objects": []} | wish.model_dump(
                include={"teacher", "student", "data", "task", "seed"}
            )
            self._launched[name] = launch.launch(self.folder, name, launch.words(wish, self.folder, name), asked, self.program)
            self.look(now=True)
            return name

    def resume(self, name: str) -> None:
        """Let a run go on from its last checkpoint. Raises `Refused` where it doesn't rest."""
        with self._lock:
            row, run = self.row(name), self._run(name)
            if row["state"] not in OPEN:
                raise refuse("run", name, "one that rests", f"it is {row['state']}")
            self._keeps_to_itself(run)
            self._launched[name] = launch.launch(self.folder, name, ["resume", str(run.folder)], {}, self.program)
            self.look(now=True)

    def _keeps_to_itself(self, run: Kept) -> None:
        """Raises `Refused` where going on would write outside of the board's folder."""
        ours, mend = self.folder.resolve(), f"look at it, and go on by `understudy resume {run.folder}`"
        for path in run.folder.rglob("*"):
            if path.is_symlink() and not path.resolve().is_relative_to(ours):
                raise refuse("run", run.name, f"a folder that writes nowhere else; {path.name} is a link out of it", mend)
        where = Path(reading.word(reading.table(run.config.value.get("config")).get("folder")))
        if (where.is_absolute() or ".." in where.parts) and not where.resolve().is_relative_to(ours):
            raise refuse("run", run.name, f"one that keeps what it makes in {self.folder}; it names {where}", mend)

    def stop(self, name: str) -> None:
        """Interrupt a run, which saves and can go on later; a second time interrupts it at once. Raises `Refused` where it doesn't run
        or its process isn't surely this run's."""
        with self._lock:
            row = self.row(name)
            started = self._launched.get(name)
            if row["state"] == "starting" and started is not None and started.alive:
                started.told = True
                launch.interrupt(started.process)
            elif row["state"] in ("running", "stopping"):
                run = self._run(name)
                process = launch.process(run.said.value)
                if process is None or not launch.holds(process, run.folder / HELD):
                    raise refuse("run", name, "one whose process is on this machine and yours", "stop it where it was started")
                launch.interrupt(process)
                run.told = True
            else:
                raise refuse("run", name, "one that runs", f"it is {row['state']}")
            self.look(now=True)

    def dismiss(self, name: str) -> None:
        """Forget a run that ended before it had a folder."""
        with self._lock:
            started = self._launched.get(name)
            if started is None or started.alive or name in self._runs:
                raise refuse("run", name, "one that ended before it began")
            del self._launched[name]
            self.look(now=True)


def _pending(name: str, started: Launch) -> dict[str, Any]:
    """The row of a run that has no folder yet, and maybe never will."""
    alive = started.alive
    return NO_OUTCOME | started.asked | {"id": name, "state": "starting" if alive else "refused", "error": "" if alive else started.last_words,
                                         "began": started.begun, "report": False, "host": "", "log": True}  # fmt: skip
