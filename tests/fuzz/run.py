"""Every reader of outside files under changed inputs: `python tests/fuzz/run.py --minutes 10`.

Each target has a process of its own, five seconds and a gigabyte a read. Inputs that go wrong are kept in tests/fuzz/corpus.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
CORPUS = HERE / "corpus"
PATIENCE = 60  # seconds of the processor without a sign of life; twenty times as long on a busy machine


def kept(name: str) -> list[dict[str, bytes]]:
    """Inputs of a target that once went wrong: a folder each, with its files."""
    return [{p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
            for folder in sorted((CORPUS / name).glob("*")) if folder.is_dir()]  # fmt: skip


def keep(name: str, files: dict[str, bytes]) -> Path:
    """Put an input into the corpus."""
    told = hashlib.blake2b(b"".join(k.encode() + v for k, v in sorted(files.items())), digest_size=5).hexdigest()
    for file, data in files.items():
        path = CORPUS / name / told / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return CORPUS / name / told


def child(name: str, seed: int, seconds: float, room: Path) -> None:
    from fuzz.work import work

    room.mkdir(parents=True, exist_ok=True)
    os.chdir(room)
    found = work(name, seed, seconds, room, kept(name))
    found["crashes"] = [(why, {k: v.hex() for k, v in files.items()}) for why, files in found["crashes"].items()]
    (room / "found.json").write_text(json.dumps(found))


def processor(pid: int) -> float:
    """Seconds that a process has worked."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(said[11]) + int(said[12])) / os.sysconf("SC_CLK_TCK")


def one(name: str, seed: int, seconds: float, save: bool) -> dict[str, Any]:
    """A target in a child."""
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder).resolve() / "room"
        env = os.environ | {"HF_HOME": f"{folder}/hf", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OMP_NUM_THREADS": "1",
                            "TOKENIZERS_PARALLELISM": "false", "ACCELERATE_USE_CPU": "true", "PYTHONPATH": f"{HERE.parent}:{os.environ.get('PYTHONPATH', '')}",
                            "UNDERSTUDY_LIMITS": "unpacked=200MB", "TMPDIR": str(room / "tmp"), "UNDERSTUDY_CACHE": f"{room}/cache"}  # fmt: skip
        (room / "tmp").mkdir(parents=True)
        command = [
            sys.executable,
            str(Path(__file__).resolve()),
            "--child",
            name,
            "--seed",
            str(seed),
            "--seconds",
            str(seconds),
            "--room",
            str(room),
        ]
        with open(Path(folder) / "log", "w") as log:
            running = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        seen, worked, since = 0.0, 0.0, time.monotonic()
        while running.poll() is None:
            time.sleep(0.5)
            alive = (room / "alive").stat().st_mtime if (room / "alive").exists() else 0.0
            if alive != seen:
                seen, worked, since = alive, processor(running.pid), time.monotonic()
            elif processor(running.pid) - worked > PATIENCE or time.monotonic() - since > 20 * PATIENCE:
                running.kill()
        if running.returncode == 0:
            found = json.loads((room / "found.json").read_text())
            crashes = [(why, {k: bytes.fromhex(v) for k, v in files.items()}) for why, files in found["crashes"]]
        else:
            files = {
                p.relative_to(room / "in").as_posix(): p.read_bytes() for p in sorted((room / "in").rglob("*")) if p.is_file()
            }
            found = {"executions": 0, "slowest": 0}
            crashes = [(f"the process ended with {running.returncode}: {(Path(folder) / 'log').read_text()[-300:]}", files)]
        for why, files in crashes:
            print(f"  ✘ {name}: {why}" + (f" -> {keep(name, files)}" if save else ""), flush=True)
        return {"executions": found["executions"], "slowest": found["slowest"], "crashes": [why for why, _ in crashes]}


def main() -> int:
    from fuzz.targets import TARGETS

    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--minutes", type=float, default=10)
    asked.add_argument("--only", default="", help="targets with commas")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--save", action="store_true", help="put what goes wrong into the corpus")
    asked.add_argument("--out", type=Path, help="a JSON file of what was seen")
    for name, kind in (("child", str), ("seconds", float), ("room", Path)):
        asked.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.child:
        child(given.child, given.seed, given.seconds, given.room)
        return 0
    names = given.only.split(",") if given.only else list(TARGETS)
    seconds, found = 60 * given.minutes / len(names), {}
    for name in names:
        found[name] = one(name, given.seed, seconds, given.save)
        print(
            f"{name:<16}{found[name]['executions']:>9,} reads  {found[name]['slowest']:>6.2f} s the slowest  {len(found[name]['crashes'])} crashes",
            flush=True,
        )
    crashes = sum(len(f["crashes"]) for f in found.values())
    total = sum(f["executions"] for f in found.values())
    print(f"{total:,} reads of {len(names)} kinds of files, {crashes} crashes")
    if given.out:
        command = f"python tests/fuzz/run.py --minutes {given.minutes:g} --seed {given.seed}"
        about = {
            "command": command,
            "seconds_a_read": 5,
            "bytes_a_read": 2**30,
            "executions": total,
            "crashes": crashes,
            "targets": found,
        }
        given.out.write_text(json.dumps(about, indent=1) + "\n")
    return 1 if crashes else 0


if __name__ == "__main__":
    raise SystemExit(main())
