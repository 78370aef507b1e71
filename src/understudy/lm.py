"""The main job for language models: a student folder in the hub's format, and a report of what the two say."""

from __future__ import annotations

import copy
import functools
import json
import os
import shlex
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from understudy.config import Config, Training
from understudy.core import devices, registry, sharding
from understudy.core.batch import Views, each, rows_in
from understudy.core.errors import refuse
from understudy.core.files import write_atomically
from understudy.core.method import Method
from understudy.core.seeds import stream
from understudy.data import chats
from understudy.job import Job, _run_id, history, player
from understudy.models import language
from understudy.models.lm import LM, evaluating
from understudy.models.wrap import describe
from understudy.parts.divergence import kl, nll
from understudy.publish import _curves, equation
from understudy.report import costs, origin
from understudy.report.earlier import earlier
from understudy.report.findings import binned, gap
from understudy.report.spoken import Continuation, Heard, Said, Spoken, Word
from understudy.worlds.texts import Texts

if TYPE_CHECKING:
    from understudy.export.ship import Shipped

NOBODY = "none"  # a teacher's address where there is none: --method alone
SHOWN = 4  # texts in the report
ROWS = 8  # rows judged at a time


class LMJob(Job):
    """One distillation of a language model in one folder: a `Job` whose student is a folder in the hub's format."""

    readers: dict[str, chats.Reader]
    begun: nn.Module  # the student before it learned

    @property
    def guide(self) -> str:
        """Who or what is learned from, in a word."""
        if self.config.signal.startswith("store:"):
            return self.config.signal
        return "the text alone" if self.world.given_teacher is None else self.config.teacher

    def _ask_beforehand(self) -> None:
        """A store that lacks training rows is refused before anything is trained."""
        given, x = self.world.given_teacher, self.data.parts["train"].x
        x = x.of("teacher") if isinstance(x, Views) else x
        if hasattr(given, "missing") and (missing := given.missing(x)):  # type: ignore[operator, union-attr]
            raise refuse("store.rows", self.config.signal, f"a store of these rows; the teacher was never asked about such a row: {missing} of {rows_in(x)}",
                         "label the same data with the same length (and seed, if masked)")  # fmt: skip

    def _publish(self, made: dict[str, nn.Module], seconds: float) -> None:
        findings = found(self, made, seconds)
        self.findings = replace(findings, earlier=earlier(self.folder, self.data.fingerprint(), json.loads(findings.to_json())))
        save(made["student"], self.readers["student"], self.folder / "student")
        write_atomically(self.folder / "findings.json", self.findings.to_json())
        from understudy.report.card import spoken_card
        from understudy.report.spoken_page import write_report

        write_atomically(self.folder / "student" / "README.md", spoken_card(self.findings))
        write_report(self.findings, self.folder / "report.html")

    def ship(self, path: str | os.PathLike[str]) -> Shipped:
        """The student as a folder in the hub's format, with its tokenizer; nothing of the teacher or of adapters is in it."""
        from understudy.export import kind_of
        from understudy.export.ship import Shipped

        self._finished()
        assert self.student is not None
        if kind_of(path := Path(path)) != "folder":
            raise refuse(
                "export",
                str(path),
                "a folder: a language model is more than one file",
                "leave the ending out; vLLM, llama.cpp and Optimum read it",
            )
        save(self.student, self.readers["student"], path)
        return Shipped(path, "folder", sum(p.stat().st_size for p in path.iterdir()))


def plan(config: Config, *, folder: Path | None = None) -> LMJob:
    """Load both models and all text, and train nothing. Raises `Refused` on whatever can't be used, before the first batch."""
    method, signal = registry.build(config.method), config.signal
    taught, remote = None, config.teacher.startswith("openai:")
    needed = "teacher" in method.card.tags and not signal.startswith("store:") and not remote
    if needed or (config.teacher != NOBODY and not remote):
        with stream(config.training.seed, "teacher"):
            taught = language.load(config.teacher)
        if not taught.trained:
            raise refuse(
                "teacher", config.teacher, "a language model with weights", f"train it first: --teacher {NOBODY} --method alone"
            )
    with stream(config.training.seed, config.student):
        student = language.load(config.student, teacher=taught)
    teacher = taught or student
    _fit_together(method, signal, student, teacher)
    readers = {"student": student.reader, "teacher": teacher.reader}
    _fit_together(method, signal, student, teacher)
    rows = config.data
    data = chats.load(
        rows.address, student.reader.tokenizer, valid=rows.valid, test=rows.test, seed=config.training.seed, limit=rows.limit
    )
    chats.prepare(data, readers, config.lm.length, config.lm.pack, signal == "on-policy" or _writes(method), config.training.seed)
    given: nn.Module | None = None if taught is None else taught.net.eval().requires_grad_(False)
    if taught is not None:
        taught.net.shared = not sharding.wanted()
    if signal.startswith("store:"):
        given = _stored(signal.removeprefix("store:"), taught, student, config.training.precision)
    elif remote:
        given = _overheard(config, student)
    place, training = devices.accelerator(), config.training
    end = student.reader.tokenizer.eos_token_id
    world = Texts(seed=training.seed, rank=place.process_index, ranks=place.num_processes, data=data, batch=training.batch, parts=training.accumulate,
                  new_student=functools.partial(copy.deepcopy, student.net), given_teacher=given, more=config.lm.more, warmth=config.lm.warmth,
                  stop=-1 if end is None else int(end), signal="on-policy" if signal == "on-policy" else "online", chunk=ROWS)  # fmt: skip
    world.steps = training.epochs * world.epoch
    world.player = player(training, world.steps)
    job = LMJob(
        config,
        folder or Path(config.folder) / _run_id(method.name, data.name),
        data,
        world,
        method,
        teacher_trained=True,
        example=None,
    )
    job.readers, job.begun = readers, student.net
    return job


def _writes(method: Method) -> bool:
    return bool({"acts", "rewrites"} & set(method.card.tags))


def _fit_together(method: Method, signal: str, student: language.Spoken, teacher: language.Spoken) -> None:
    """What would be silently wrong is refused by name."""
    alike = student.reader.same(teacher.reader)
    if not alike and "vocabularies" not in method.card.tags and "teacher" in method.card.tags:
        raise refuse("method", method.name, "one for two vocabularies: student and teacher have different tokenizers",
                     "use uld, or a student with the teacher's tokenizer")  # fmt: skip
    if signal == "on-policy" or _writes(method):
        if student.net.kind == "masked":
            raise refuse("signal", signal, "online or store: a masked language model doesn't write", "use another signal")
        if not alike or student.net.kind != teacher.net.kind:
            raise refuse("signal", signal, "online or store, where student and teacher don't read alike", "use another signal")
    if signal != "online" and type(method).source is not Method.source:
        raise refuse(
            "signal",
            signal,
            f"online: '{method.name}' says itself what it learns from",
            "leave the signal out, or use another method",
        )


def _stored(path: str, teacher: language.Spoken | None, student: language.Spoken, precision: str) -> nn.Module:
    """Without a teacher the folder is taken at its word: nothing but the vocabulary can be compared."""
    from understudy.teachers import recorded

    found = recorded.Recorded(path, None if teacher is None else teacher.net, precision=precision)
    if teacher is None and found.plan.size != student.net.size:
        raise refuse(
            "store",
            path,
            f"a vocabulary of {student.net.size}, the student's; it holds one of {found.plan.size}",
            "is it another tokenizer's?",
        )
    return found


def _overheard(config: Config, student: language.Spoken) -> nn.Module:
    from understudy.teachers.overheard import Overheard
    from understudy.teachers.remote import from_address

    if config.lm.pack or config.signal != "online":
        raise refuse(
            "lm.pack",
            config.lm.pack,
            "false, and signal=online: a remote teacher reads one document a row",
            "--set lm.pack=false",
        )
    return Overheard(from_address(config.teacher), student.reader.tokenizer, student.net.size)


def save(net: nn.Module, reader: chats.Reader, folder: Path) -> Path:
    """The model and its tokenizer in the hub's format, as safetensors: beside the place first, then in it, whole."""
    import shutil
    import uuid

    with evaluating(net):
        inner = language.alone(copy.deepcopy(net))
    beside = folder.with_name(f".{uuid.uuid4().hex}.tmp")
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with language.quiet():
            inner.save_pretrained(beside)
        reader.tokenizer.save_pretrained(beside)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


# ------------------------------------------------------------------------------------------------------------------ what was found


def found(job: LMJob, made: dict[str, nn.Module], seconds: float) -> Spoken:
    """Teacher, student and the student alone on the test rows, and what they say."""
    world, c = job.world, job.config
    assert isinstance(world, Texts)
    test = world.data.test
    teacher = language_teacher(job)
    nets = ({} if teacher is None else {"teacher": teacher}) | made | {"before": job.begun}
    names = {"teacher": c.teacher, "student": c.student, "alone": f"{c.student}, text only", "before": f"{c.student}, as it came"}
    heard, costs = {}, {}
    for name, net in nets.items():
        heard[name], costs[name] = _heard(names[name], name, net, test)
    agreement, apart = (None, None) if teacher is None else compare(teacher, made["student"], test)
    return Spoken(
        title=f"{job.data.name}: {c.student} learns from {job.guide} by {job.method.name}",
        method=job.method.name, equation=equation(job.method), paper=job.method.card.paper, config=job.method.config(), signal=c.signal,
        data=job.data.name, rows={k: rows_in(job.data.parts[k].x) for k in ("train", "valid", "test")},
        tokens={k: int((job.data.parts[k].y >= 0).sum()) for k in ("train", "valid", "test")}, cut=job.data.cut,
        heard=heard, agreement=agreement, divergence=apart, samples=continuations(job, nets), words=[] if teacher is None else words(job, teacher, made["student"], test),
        frequency=by_frequency(job, nets, test), history=_curves(history(job.folder)), seconds=seconds, command=command(job),
        environment=origin.environment() | {"device": str(_place(made["student"]).type)},
        origin=origin.origin(job.data.fingerprint(), teacher=teacher, student=made["student"], student_alone=made.get("alone")),
        kind=job.readers["student"].kind, settings={**asdict(c.training), **asdict(c.lm)},
        chance=_chance(costs["student"], costs["alone"], test) if "alone" in costs else None,
    )  # fmt: skip


def language_teacher(job: LMJob) -> nn.Module | None:
    """The model behind what was stored, or the teacher itself, or None where neither is at hand."""
    given: Any = job.world.given_teacher
    behind = getattr(given, "model", given)
    return behind if isinstance(behind, LM) else None


def _own(x: Any, name: str) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = x.of("teacher" if name == "teacher" else "student") if isinstance(x, Views) else x
    return found


def _chunks(part: Any, name: str, device: torch.device) -> Any:
    """x, y as a model of that name sees them; of another view of the same words, y stands where it is asked; -1 all over for other words."""
    x, mine = _own(part.x, name), _own(part.x, "student")
    y = part.y
    if x is not mine:
        y = torch.full(x["asked"].shape, -1)
        if part.alike:
            y[x["asked"]] = part.y[mine["asked"]]
    for i in range(0, rows_in(x), ROWS):
        yield each(x, lambda t, i=i: t[i : i + ROWS].to(device)), y[i : i + ROWS].to(device)


@torch.no_grad()
def _heard(called: str, name: str, net: nn.Module, part: Any) -> tuple[Heard, torch.Tensor]:
    """Of the tokens asked for: mean negative log-likelihood in nats, accuracy, and how far sureness and being right are apart; and each one's nats."""
    cost, right, sure, tokens, begun = [torch.zeros(0)], [torch.zeros(0)], [torch.zeros(0)], 0, time.perf_counter()
    with evaluating(net):
        for x, y in _chunks(part, name, _place(net)):
            out, known = net(x), y >= 0
            tokens += int(x["asked"].sum())
            best = out.argmax()
            cost.append(nll(out, y, each=True).cpu())
            sure.append(nll(out, torch.where(known, best, -1), each=True).neg().exp().cpu())
            right.append((best == y)[known].float().cpu())
    seconds, size = time.perf_counter() - begun, describe(net)
    c, r, s = torch.cat(cost), torch.cat(right), torch.cat(sure)
    with evaluating(net):
        x, y = next(iter(_chunks(part, name, _place(net))))
        operations, places = costs.flops(lambda: nll(net(x), y)), max(int(x["asked"].sum()), 1)
    each_ = None if operations is None else operations // places
    if not len(c):
        return Heard(called, None, None, None, size.parameters, size.bytes, tokens / seconds, (), each_), c
    bins = tuple(binned(s, r))
    mean, right_ = float(c.double().mean()), float(r.mean())
    return Heard(called, mean, right_, gap(bins), size.parameters, size.bytes, tokens / seconds, bins, each_), c


def _chance(one: torch.Tensor, other: torch.Tensor, part: Any) -> float | None:
    """Standard error of the mean difference of their tokens' nats, where the rows are what was drawn; None for a single row."""
    row = (part.y >= 0).nonzero()[:, 0].cpu()
    apart = (one - other).double()
    sums = torch.zeros(rows_in(part.x), dtype=torch.float64).index_add_(0, row, apart - apart.mean())
    rows = len(row.unique())
    return None if rows < 2 else float((sums.square().sum() * rows / (rows - 1)).sqrt() / len(apart))


@torch.no_grad()
def compare(teacher: nn.Module, student: nn.Module, part: Any) -> tuple[float | None, float | None]:
    """Share of places where both find the same word likeliest, and KL(teacher || student) of a place in nats; None for two vocabularies."""
    same, apart, places = 0.0, 0.0, 0
    devices_ = [_place(n) for n in (teacher, student)]
    with evaluating(teacher), evaluating(student):
        for (u, _), (x, _y) in zip(_chunks(part, "teacher", devices_[0]), _chunks(part, "student", devices_[1]), strict=True):
            one, other = teacher(u).detach().rows(), student(x).rows()
            if one.size != other.size:
                return None, None
            n = len(other)
            if n:
                same, apart, places = (
                    same + float((one.argmax().cpu() == other.argmax().cpu()).sum()),
                    apart + float(kl(one, other)) * n,
                    places + n,
                )
    return same / max(places, 1), apart / max(places, 1)


def continuations(job: LMJob, nets: dict[str, nn.Module]) -> list[Said]:
    """What each model writes after the beginning of some test documents, the likeliest word at a time."""
    if any(r.kind == "masked" for r in job.readers.values()):
        return []
    documents = [d for d in job.data.documents["test"] if d.text.strip()][:SHOWN]
    told = []
    for d in documents:
        says = []
        prompt = ""
        for name, net in nets.items():
            reader = job.readers["teacher" if name == "teacher" else "student"]
            e = reader.encode(d)
            begin = e.ids[: e.prompt] if not d.running else e.ids[: max(8, min(48, len(e.ids) // 4))]
            ids = torch.tensor([begin[-job.config.lm.length :] or e.ids[:1]], device=_place(net))
            net_: Any = net
            made = net_.write(
                {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, min(job.config.lm.more, 64), greedy=True
            )
            new = made[0] if reader.kind == "seq2seq" else made[0, ids.shape[1] :]
            prompt = prompt or reader.tokenizer.decode(ids[0].tolist())
            says.append(Continuation(name, reader.tokenizer.decode(new.tolist(), skip_special_tokens=True)))
        true = "".join(s for s, said in d.segments[-1:] if said and not d.running)
        told.append(Said(prompt, true, tuple(says)))
    return told


@torch.no_grad()
def words(job: LMJob, teacher: nn.Module, student: nn.Module, part: Any) -> list[tuple[Word, ...]]:
    """Some test rows token by token: how far the student is from the teacher there, in nats."""
    reader, told = job.readers["student"], []
    x, u = _own(part.x, "student"), _own(part.x, "teacher")
    with evaluating(teacher), evaluating(student):
        for i in range(min(SHOWN, rows_in(x))):
            mine, its = (each(v, lambda t, i=i, d=d: t[i : i + 1].to(d)) for v, d in ((x, _place(student)), (u, _place(teacher))))
            out, target = student(mine), teacher(its)
            if out.size != target.size:
                return []
            apart = kl(target, out, each=True).tolist()
            asked = mine["asked"][0].nonzero().squeeze(1).tolist()
            told.append(_told(reader, mine, part.y[i].tolist(), dict(zip(asked, apart, strict=True))))
    return told


def _told(reader: chats.Reader, x: dict[str, torch.Tensor], y: list[int], at: dict[int, float]) -> tuple[Word, ...]:
    """Of one row: what is said, and between it, of a causal model, what is only read."""
    ids, row = x["input_ids"][0].tolist(), list[tuple[int, float | None]]()
    begins = x["position_ids"][0].tolist() if "position_ids" in x else range(len(ids))
    causal = reader.kind == "causal"
    for j, token in enumerate(y):
        if causal and begins[j] == 0:
            row.append((ids[j], None))
        if token >= 0 and j in at:
            row.append((token, at[j]))
        elif token >= 0 or (causal and j + 1 < len(ids) and begins[j + 1] != 0):
            row.append((token if token >= 0 else ids[j + 1], None))
    while row and row[-1][1] is None:  # padding
        row.pop()
    return tuple(Word(reader.tokenizer.decode([token]), nats) for token, nats in row)


def _place(net: nn.Module) -> torch.device:
    return next(net.parameters()).device


@torch.no_grad()
def by_frequency(job: LMJob, nets: dict[str, nn.Module], part: Any) -> list[dict[str, Any]]:
    """Negative log-likelihood of tokens that are rare and frequent in the training rows, by powers of ten."""
    train = job.data.parts["train"].y
    if isinstance(part.x, Views) and not part.alike:
        nets = {k: v for k, v in nets.items() if k != "teacher"}
    counts = torch.bincount(train[train >= 0].flatten(), minlength=job.readers["student"].tokenizer.vocab_size + 1)
    told: dict[int, dict[str, Any]] = {}
    for name, net in nets.items():
        with evaluating(net):
            pairs = [(y[y >= 0].cpu(), nll(net(x), y, each=True).cpu()) for x, y in _chunks(part, name, _place(net))]
        y, cost = (torch.cat(column) for column in zip(*pairs, strict=True))
        seen = counts[y.clamp(max=len(counts) - 1)]
        power = torch.where(seen > 0, seen.clamp(min=1).double().log10().floor().long(), -1)
        for b in sorted(power.unique().tolist()):
            row = told.setdefault(b, {"from": 0 if b < 0 else 10**b, "tokens": int((power == b).sum())})
            row[name] = float(cost[power == b].double().mean())
    return [told[b] for b in sorted(told)]


def command(job: LMJob) -> str:
    """What to type to see this run again."""
    c, plain = job.config, Config(data=job.config.data, method=job.config.method)
    said = [
        "understudy",
        "distill",
        "--task",
        "lm",
        "--teacher",
        c.teacher,
        "--student",
        c.student,
        "--data",
        c.data.address,
        "--method",
        c.method["name"],
    ]
    own = registry.get(c.method["name"])().config()
    changed = [f"{k}={v}" for k, v in c.method.items() if own[k] != v]
    from understudy.config import SPOKEN, SPOKEN_ROWS, Rows

    usual = Training(**SPOKEN)
    rows = Rows(address=c.data.address, task="lm", **SPOKEN_ROWS)
    for section, default in (("training", usual), ("lm", plain.lm), ("data", rows)):
        changed += [f"{section}.{k}={v}" for k, v in asdict(getattr(c, section)).items() if v != getattr(default, k)]
    return shlex.join(said + [w for change in changed for w in ("--set", change)] + ([] if c.alone else ["--no-alone"]))


__all__ = ["LM", "LMJob", "plan", "save"]
