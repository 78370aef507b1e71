"""What to do with a teacher, rows and a budget: a student, a method and its settings, each with its reason and what is known of it.

`advise` looks at the validation and training rows (`situation`), builds and measures students that fit (`students`, `budget`), applies a
handful of small named rules (`rules`), and, where it is asked to, searches (`search`). Nothing but a teacher without weights is trained
before a search.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.advice.proofs import Proof
from understudy.core.errors import refuse

if TYPE_CHECKING:
    from understudy.advice.budget import Budget
    from understudy.advice.rules import Proposal
    from understudy.advice.search import Found
    from understudy.advice.situation import Situation
    from understudy.advice.students import Candidate
    from understudy.config import Config
    from understudy.core.world import World
    from understudy.job import Job

Bar = Callable[[str, int, int], None]
BEST = "best.toml"  # what a search found, in its folder
DEFAULT = "tiny-cnn"  # the configuration's student where none was named


@dataclass(frozen=True)
class Advice:
    """What was seen and what is proposed. student: the first of `students`, those that fit the budget, measured. proposals: one a rule that had
    something to say. doubts: what nobody knows here. config: the whole proposal, which `understudy.plan` and `distill` take; command: the same
    to paste. found: what a search came to, and then `config` is its best; None where none was asked for."""

    situation: Situation
    budget: Budget
    students: tuple[Candidate, ...]
    proposals: tuple[Proposal, ...]
    proofs: tuple[Proof, ...]
    doubts: tuple[str, ...]
    config: Config
    command: str
    found: Found | None = None

    @property
    def student(self) -> Candidate:
        return self.students[0]

    @property
    def method(self) -> dict[str, Any]:
        """`{'name': 'kd', 't': 8.0, ...}`, as `understudy.distill(method=...)` takes it."""
        return self.config.method

    def to_dict(self) -> dict[str, Any]:
        """Plain enough for JSON."""
        plain = dataclasses.asdict(dataclasses.replace(self, config=None, found=None))  # type: ignore[arg-type]
        found = None if self.found is None else dataclasses.asdict(self.found)
        return plain | {"budget": str(self.budget), "config": self.config.to_dict(), "found": found}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1) + "\n"


def advise(teacher: Any = "digits", student: Any = None, data: Any = "digits", *, budget: str = "", search: float = 0, folder: str = "runs",
           proofs: str = "proofs", quiet: bool = True, **settings: Any) -> Advice:  # fmt: skip
    """What to do about a teacher, rows and a budget.

    teacher, data: as `understudy.distill` takes them. student: the same, or None to be shown one. budget: `params<1M, latency<2ms, bytes<500kB,
    flops<10M`, any of them. search: full trainings that a search may cost; 0 for none. folder: where a teacher that has to be trained, and a
    search, are kept. proofs: the folder of proofs to quote. settings: seed, epochs, task, limit. Raises `Refused` on bad input, and where no
    student fits.
    """
    from understudy.config import Config, Rows, Training

    known = {"seed": ("training", "seed"), "epochs": ("training", "epochs"), "task": ("data", "task"), "limit": ("data", "limit")}
    parts: dict[str, dict[str, Any]] = {"training": {}, "data": {}}
    for name, value in settings.items():
        if name not in known:
            raise refuse(name, value, f"one of {', '.join(known)}")
        parts[known[name][0]][known[name][1]] = value
    word = lambda v: v if isinstance(v, str) else f"<{type(v).__name__}>"
    config = Config(teacher=word(teacher), student=word(student or DEFAULT), data=Rows(address=word(data), **parts["data"]),
                    training=Training(**parts["training"]), folder=folder)  # fmt: skip
    objects = {
        k: v for k, v in (("teacher", teacher), ("student", student), ("data", data)) if v is not None and not isinstance(v, str)
    }
    if quiet:
        return counsel(config, chosen=student is not None, budget=budget, trainings=search, proofs=Path(proofs), **objects)
    from understudy.report.progress import bars

    with bars() as bar:
        return counsel(
            config, chosen=student is not None, budget=budget, trainings=search, proofs=Path(proofs), bar=bar, **objects
        )


def counsel(config: Config, *, chosen: bool, budget: str = "", trainings: float = 0, proofs: Path = Path("proofs"),
            bar: Bar = lambda *_: None, teacher: Any = None, student: Any = None, data: Any = None) -> Advice:  # fmt: skip
    """`advise` from a configuration. chosen: whether its student is the one to be taught, or is to be found."""
    from understudy import data as sources
    from understudy.advice import budget as costs
    from understudy.advice import rules, students
    from understudy.advice.situation import look
    from understudy.job import plan

    limits = costs.parse(budget)
    if isinstance(trainings, bool) or not isinstance(trainings, (int, float)) or not 0 <= trainings < 10**6:
        raise refuse("search", trainings, "full trainings, a number in [0, 1000000)", "0 searches nothing")
    if config.data.task == "lm":
        raise refuse("task", "lm", "classify, multilabel or regress", "the guide to language models says what to do there")
    rows = config.data
    if data is None:
        data = sources.load(rows.address, target=rows.target or None, text=rows.text or None, task=rows.task or None, valid=rows.valid,
                            test=rows.test, seed=config.training.seed, limit=rows.limit or None)  # fmt: skip
    if not chosen:
        config = dataclasses.replace(config, student=students.any_of(data.kind))
    place = lambda c: plan(c, teacher=teacher, student=student, data=data)
    job = place(config)
    job.teach(bar)
    if chosen:
        fit = (students.given(job),)
        missed = limits.missed(fit[0].cost)
        if missed:
            raise refuse(
                "student", config.student, f"within the budget: {'; '.join(missed)}", "leave it out to be shown one that fits"
            )
    else:
        limits = limits if limits.limits else students.usual(job)
        fit = tuple(students.candidates(job, limits))
        config = dataclasses.replace(config, student=fit[0].address)
        job = place(config)
        job.teach(bar)
    seen = look(job)
    proposals = tuple(p for rule in rules.RULES if (p := rule(seen)) is not None)
    config = dataclasses.replace(config, method=rules.method(proposals))
    cited = tuple(dict.fromkeys(name for p in proposals for name in p.methods))
    found, where = None, _folder(config, [c.address for c in fit[:2]])
    if trainings:
        found = _searched(config, place, trainings, where, [c.address for c in fit[:2]], bar)
        config = found.config
    job.config = config
    return Advice(
        seen,
        limits,
        fit,
        proposals,
        tuple(_proof(proofs, name) for name in cited),
        rules.doubts(seen, fit),
        config,
        _command(job, where),
        found,
    )


def _searched(
    config: Config, place: Callable[[Config], Job], trainings: float, where: Path, students: list[str], bar: Bar
) -> Found:
    from understudy import config as configuration
    from understudy.advice.search import search
    from understudy.core.files import write_atomically

    def world(address: str) -> World:
        job = place(dataclasses.replace(config, student=address))
        job.teach()
        return job.world

    m = config.method
    first = [{"t": m["t"], "a": m["a"], "rate": 1.0, "beside": "none", "student": students[0]}] if m["name"] == "kd" else []
    found = search(config, world, trainings, where, students=students, first=first, bar=bar)
    write_atomically(where / BEST, configuration.to_toml(found.config))
    return found


def _command(job: Job, where: Path) -> str:
    """What to type, or in Python to call, to do it."""
    from understudy.publish import command

    c = job.config
    if job.objects:
        given = {"teacher": c.teacher, "student": c.student, "data": c.data.address}
        words = [f"{k}={k}" if k in job.objects else f"{k}={v!r}" for k, v in given.items()]
        return f"understudy.distill({', '.join(words)}, method={c.method!r})"
    if c.method["name"] == "compose":
        return shlex.join(["understudy", "distill", "--config", str(where / BEST)])
    return command(job)


def _proof(folder: Path, name: str) -> Proof:
    from understudy.advice.proofs import proof

    return proof(folder, name)


def _folder(config: Config, students: list[str]) -> Path:
    """Of a search: the same for the same teacher, rows, training and students."""
    import hashlib

    what = json.dumps([students, {k: v for k, v in config.to_dict().items() if k not in ("student", "method", "folder")}])
    return Path(config.folder) / "searches" / hashlib.blake2b(what.encode(), digest_size=6).hexdigest()
