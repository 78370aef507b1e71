"""The main job: a teacher, a student, rows and a budget in; a student, a report and a deployable file out, all in one folder."""

from __future__ import annotations

import copy
import datetime
import functools
import hashlib
import json
import os
import re
import secrets
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from understudy import alive, track
from understudy import config as configuration
from understudy.checks.blame import blame
from understudy.config import Config, Training
from understudy.core import checkpoint, devices, registry, seal
from understudy.core.batch import Batch, Views, each, rows_in
from understudy.core.errors import NotFinite, Refused, refuse
from understudy.core.files import sweep, write_atomically, writing
from understudy.core.fit import fit
from understudy.core.method import Method
from understudy.core.run import Run, seen_by, start
from understudy.core.seeds import stream
from understudy.core.world import Player, recast, sgd
from understudy.kept import WRONG, table, understood
from understudy.parts.change import Change
from understudy.parts.schedule import cosine
from understudy.report import gradients
from understudy.tasks import task
from understudy.teachers.labelling import code_of
from understudy.teachers.recorded import Recorded
from understudy.track import named
from understudy.trust import settings as only_data_in
from understudy.worlds.rows import Rows, answers

if TYPE_CHECKING:
    from understudy.export.ship import Shipped
    from understudy.teachers import Encoding

TEACHERS = {"digits": "cnn"}  # names of teachers that are made on the spot -> their architecture
POINTS = 200  # of a learning curve
LIVE = 1.0  # seconds after which points are shown to whoever looks on


@dataclass(frozen=True)
class Prepared:
    """Rows as the two models take them."""

    x: Any
    y: Tensor


class Splits:
    """The user's rows, with a tokenizer's view of the texts for each model that brings one."""

    def __init__(self, data: Any, encoders: dict[str, Callable[[list[str]], Any]]) -> None:
        self._data, self.encoders, self._made = data, encoders, {}

    def _part(self, name: str, split: Any) -> Prepared:
        if name not in self._made:
            x = split.x
            if self.encoders:
                if split.raw is None:
                    raise refuse("data", self._data.name, "rows with their texts", "a model with a tokenizer reads texts")
                x = Views(
                    {who: encode(split.raw) for who, encode in self.encoders.items()}
                    | ({} if "student" in self.encoders else {"student": x})
                )
                if "teacher" not in x:
                    x["teacher"] = split.x
            self._made[name] = Prepared(x, split.y)
        return self._made[name]

    @property
    def train(self) -> Prepared:
        return self._part("train", self._data.train)

    @property
    def valid(self) -> Prepared:
        return self._part("valid", self._data.valid)

    @property
    def test(self) -> Prepared:
        seal.check("the test split")
        return self._part("test", self._data.test)


class Job:
    """One distillation in one folder; `plan` makes it, `run` does it, and a killed one is resumed to the same bits.

    After `run`: `student` (the best on the validation rows, in evaluation mode), `findings`, and the folder's files.
    """

    def __init__(
        self, config: Config, folder: Path, data: Any, world: Rows, method: Method, *, teacher_trained: bool, example: Any
    ) -> None:
        self.config, self.folder, self.data, self.world, self.method = config, folder, data, world, method
        self.teacher_trained, self.example = teacher_trained, example
        self.stored: Recorded | None = None  # what the teacher said, where it isn't asked anew
        self.lead: tuple[nn.Module | None, Any] = (None, None)  # of a store, whose words are in it, and what it sees rows through
        self.student: nn.Module | None = None
        self.findings: Any = None
        self._begins: Callable[[str, int, int], None] = lambda *_: None
        self._tell: Any = lambda *_: None
        self._note: Callable[..., None] = lambda *_: None

    @property
    def teacher(self) -> nn.Module:
        """As it sees rows, in evaluation mode."""
        net, view = self.lead
        if net is not None:
            return seen_by(copy.deepcopy(net).eval(), "teacher", recast(self.world, views={"teacher": view} if view else {}))
        assert self.world.given_teacher is not None
        return seen_by(copy.deepcopy(self.world.given_teacher).eval(), "teacher", self.world)

    @property
    def guide(self) -> str:
        """Who or what is learned from, in a word."""
        return self.config.teacher if self.config.signal == "online" else self.config.signal

    # doing it -------------------------------------------------------------------------------------------------------------------

    def run(self, *, bar: Callable[[str, int, int], None] = lambda *_: None, note: Callable[..., None] = lambda *_: None) -> Job:
        """Train (or go on training) and write everything. bar(phase, step, steps) is told how far it is, note(phase, figures, work, unit)
        what was seen there: terms and scores by name, and the rows or tokens that a step of all processes learns from."""
        begun, self._note = time.perf_counter(), note
        track.ready(self.config.track)
        self._settle_in()
        with (alive.known(self.folder, quiet=self.world.rank > 0) as self._begins, track.tracking(self) as self._tell,
              alive.together(self.world.ranks)):  # fmt: skip
            self._run(bar, begun)
            self._tell.found(self.findings)
            return self

    def _run(self, bar: Callable[[str, int, int], None], begun: float) -> Job:
        self.teach(bar)
        self._ask_beforehand()
        students = {"student": self.method} | ({"alone": registry.get("alone")()} if self.config.alone else {})
        made = {name: self._train(name, start(method, self.world, self.config.training.seed, precision=self.config.training.precision),
                                  self.config.training, bar) for name, method in students.items()}  # fmt: skip
        self.student = made["student"]
        if devices.accelerator().is_main_process:
            self._publish(made, time.perf_counter() - begun)
        return self

    def _train(self, name: str, run: Run, training: Training, bar: Callable[[str, int, int], None]) -> nn.Module:
        folder, steps = self.folder / "checkpoints" / name, run.world.steps
        saved = checkpoint.latest(folder)
        if saved is not None:
            checkpoint.restore(run, saved)
            if run.world.rank == 0:
                checkpoint.prune(folder)  # it may have been killed before it came to that
        log = Log(self.folder / "metrics.jsonl", name, run.step, quiet=run.world.rank > 0, tell=self._tell)
        self._begins(name, run.step, steps)
        every, judge, save = (max(1, steps // n) if n else steps for n in (POINTS, training.judgements, training.checkpoints))
        parts = run.world.parts

        def notes(step: int) -> None:
            """What went otherwise than planned at a step that is over."""
            nonlocal parts
            if step in run.skipped:
                run.skipped[step] += blame(run, step)
                log(step, {"skipped": len(run.skipped)}, run.skipped[step])
                self._note(name, {"skipped": len(run.skipped)})
                warnings.warn(f"{name}: {run.skipped[step]}; it was skipped, as {training.skip_bad_batches} may be", stacklevel=2)
            if run.world.parts != parts:
                parts = run.world.parts
                log(step, {"parts": parts})
                warnings.warn(f"{name}: memory didn't suffice at step {step}; from there on {run.world.batch} rows are learned from in {parts} "
                              "parts, one behind the other, and still make one update", stacklevel=2)  # fmt: skip

        def watch(run: Run, batch: Batch, terms: dict[str, dict[str, Tensor]]) -> None:
            seen = gradients.noted(run, terms)
            if name == "student" and run.step % gradients.apart(steps, every) == 0:
                seen |= {f"grad/{k}": norm for k, norm in gradients.pulls(run, batch).items()}
            log(run.step, seen)
            self._note(name, seen, *worth(run, batch))
            bar(name, run.step, steps)

        def after(run: Run) -> None:
            notes(run.step - 1)
            last = run.step == steps
            if run.step % judge == 0 or last:
                log(run.step, {"valid": (score := run.judge())})
                self._note(name, {f"valid {run.world.metric}" if run.world.share else "valid": score})
            if run.step % save == 0 or last or asked():
                log.flush()
                checkpoint.write(run, folder)
            if asked():
                raise KeyboardInterrupt

        try:
            with alive.heeding(run.world.ranks == 1) as asked:  # of several processes some would save and wait for the others
                fit(run, watch=watch, every=every, after=after, skip=training.skip_bad_batches)
        except NotFinite as e:
            log.flush()
            checkpoint.write(run, folder)
            raise NotFinite(str(e).replace("; ", f"{blame(run, run.step)}; ", 1)) from None
        bar(name, steps, steps)
        log.flush()
        assert run.best is not None
        if not isinstance(run.best.artefact, nn.Module):
            raise refuse("method", run.method.name, "a method whose result is a network", "the main job deploys a network")
        return run.best.artefact.cpu()

    def finished(self) -> Job:
        """The job with the student of its last checkpoint; nothing is trained. Raises `Refused` where the run isn't finished."""
        saved = checkpoint.latest(self.folder / "checkpoints" / "student")
        if saved is not None and saved["step"] >= self.world.steps:
            run = checkpoint.restore(start(self.method, self.world, self.config.training.seed), saved)
            assert run.best is not None
            assert isinstance(run.best.artefact, nn.Module)
            self.student = run.best.artefact.cpu()
        self._finished()
        return self

    def teach(self, bar: Callable[[str, int, int], None] = lambda *_: None) -> None:
        """Train a teacher that has no weights on the labels, or load it if the same one was trained before."""
        if self.teacher_trained:
            return
        from safetensors.torch import load_model

        from understudy.export.safetensors import save_weights

        training, net, ranks = self.config.teacher_training, self.world.given_teacher, self.world.ranks
        assert net is not None
        address = TEACHERS.get(self.config.teacher, self.config.teacher)
        how = {k: v for k, v in asdict(training).items() if k != "skip_bad_batches"}
        what = json.dumps([address, str(net), self.data.fingerprint(), how, ranks])
        name = f"{hashlib.blake2b(what.encode(), digest_size=8).hexdigest()}.safetensors"
        kept = (self.folder if "teacher" in self.objects else Path(self.config.folder)) / "teachers" / name
        if not kept.exists():
            views = {"student": self.world.views["teacher"]} if "teacher" in self.world.views else {}
            world = recast(self.world, given_teacher=None, new_student=lambda: copy.deepcopy(net), views=views, batch=training.batch,
                           seed=training.seed)  # fmt: skip
            steps = training.epochs * world.epoch
            world = recast(world, steps=steps, player=player(training, steps))
            made = self._train(
                "teacher", start(registry.get("alone")(), world, training.seed, precision=training.precision), training, bar
            )
            if self.world.rank == 0:
                sweep(kept)
                save_weights(made, kept, arch=address)
            net.load_state_dict(made.state_dict())
        else:
            try:
                load_model(net, kept)
            except (SafetensorError, RuntimeError, OSError) as e:
                raise refuse(
                    "teacher",
                    str(kept),
                    f"the weights of {address} ({str(e).splitlines()[0]})",
                    "delete the file to train it again",
                ) from None
        net.eval()
        self.teacher_trained = True
        self.listen()

    def _settle_in(self) -> None:
        """Write down what this run is, or see that a folder which has one already holds this very run."""
        about = {"config": self.config.to_dict(), "objects": self.objects, "rows": self.data.fingerprint()}
        path = self.folder / "config.json"
        if path.exists():
            with understood(path, "what a run is", "begin a new run"):
                kept = table(path)
                kept["config"] = configuration.build(
                    kept["config"]
                ).to_dict()  # a setting that it didn't know yet is at its default
            for part in ("training", "teacher_training"):  # the one setting that may change on the way
                kept["config"][part]["skip_bad_batches"] = about["config"][part]["skip_bad_batches"]
            _same_run(self.folder, *(json.loads(json.dumps(each)) for each in (kept, about)))
        self._sweep_up()
        self._write("config.json", json.dumps({"understudy": _version()} | about, indent=2))
        self._write("config.toml", configuration.to_toml(self.config))

    def listen(self) -> None:
        """From now on the student learns from the store, if there is one. Raises `Refused` where it isn't this teacher's, asked as it is now."""
        if self.stored is None or self.world.given_teacher is self.stored:
            return
        net, view = self.world.given_teacher, self.world.views.get("teacher")
        if net is not None:
            self.stored.fits(net, code=code_of(view), precision=self.config.training.precision)
        self.lead = net, view
        views = {k: v for k, v in self.world.views.items() if k != "teacher"}
        self.world = recast(self.world, given_teacher=self.stored, views=views, augment=self.stored.views or self.world.augment)

    def _ask_beforehand(self) -> None:
        """A teacher of stored answers that wasn't asked about every row is told of before anything is trained."""
        given = self.world.given_teacher
        for part in ("train", "valid", "test") if hasattr(given, "read") else ():
            x = getattr(self.world.data, part).x
            x = x.of("teacher") if isinstance(x, Views) else x
            if not hasattr(given, "missing"):
                answers(self.teacher, x)
                continue
            rows = rows_in(x)
            asked = [x] + [
                {"row": x, "view": torch.full((rows,), v)} for v in range(self.world.augment.views if part == "train" else 0)
            ]
            if missing := sum(given.missing(a) for a in asked):  # type: ignore[operator, union-attr]
                raise refuse("store.rows", str(self.stored.place if self.stored else ""), f"a store of these rows; the teacher was never asked about such a row: "
                             f"{missing} of {rows * len(asked)} of the {part} rows", "run `understudy label` with these rows: it adds what is missing")  # fmt: skip

    def _sweep_up(self) -> None:
        """Half-written files of a run that was killed."""
        if self.world.rank == 0:
            for left in self.folder.rglob(".*.tmp"):
                left.unlink(missing_ok=True)

    # what is left behind ----------------------------------------------------------------------------------------------------------

    @property
    def objects(self) -> list[str]:
        """What was handed over as an object rather than by address, and so can't be rebuilt from config.json alone."""
        return [
            k
            for k in ("teacher", "student", "data")
            if str(getattr(self.config, k) if k != "data" else self.config.data.address).startswith("<")
        ]

    def _write(self, name: str, text: str) -> None:
        if devices.accelerator().is_main_process:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / name, text)

    def _publish(self, made: dict[str, nn.Module], seconds: float) -> None:
        from understudy.publish import publish

        self.findings = publish(self, made, seconds)

    def report(self) -> Path:
        """The HTML report's path."""
        return self._finished() / "report.html"

    def export(self, path: str | os.PathLike[str]) -> Path:
        """The student alone, as the path's ending says: .safetensors, .onnx, .int8.onnx, .pt2, or a folder in the hub's format.

        Programs are run and compared with the network before they are kept; `ship` also tells what was seen. Raises `Refused` for
        other endings, and where the student can't become such a file.
        """
        return self.ship(path).path

    def ship(self, path: str | os.PathLike[str]) -> Shipped:
        """`export`, and what was seen of the file on validation rows: size, difference, what eight bits cost."""
        from understudy.export.ship import ship

        self._finished()
        return ship(self, Path(path))

    def _finished(self) -> Path:
        if self.student is None:
            raise Refused(f"run {self.folder} isn't finished: call run() (or `understudy resume {self.folder}`) first")
        return self.folder


class Log:
    """metrics.jsonl: one line a point, {"phase", "step", ...}. What was written after the checkpoint that a run resumes from is cut."""

    def __init__(
        self, path: Path, phase: str, step: int, *, quiet: bool = False, tell: Callable[..., None] = lambda *_: None
    ) -> None:
        self.path, self.phase, self.quiet, self.lines, self.flushed = path, phase, quiet, [], time.monotonic()
        self.tell = tell
        if path.exists() and not quiet:
            kept = [line for line in path.read_text("utf-8", "replace").splitlines() if self._before(line, step)]
            write_atomically(path, "".join(line + "\n" for line in kept))

    def _before(self, line: str, step: int) -> bool:
        try:
            point = json.loads(line)
            # a loss at `step` is of the update not yet made; a judgement at `step` is of the weights that were saved
            return bool(point["phase"] != self.phase or point["step"] < step or (point["step"] == step and "valid" in point))
        except WRONG:  # the line that a kill cut in half
            return False

    def __call__(self, step: int, values: dict[str, float], why: str = "") -> None:
        self.lines.append(json.dumps({"phase": self.phase, "step": step} | values | ({"why": why} if why else {})))
        self.tell(self.phase, step, values)
        if time.monotonic() - self.flushed > LIVE:
            self.flush(sure=False)

    def flush(self, *, sure: bool = True) -> None:
        """sure: on the disk before anything goes on; else only where others can read it."""
        text = "".join(line + "\n" for line in self.lines).encode()
        if not self.quiet and (text or sure):
            with writing(self.path, len(text)):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("ab", buffering=0) as f:
                    before = f.tell()
                    try:
                        while text:
                            text = text[f.write(text) :]
                        if sure:
                            os.fsync(f.fileno())
                    except OSError:
                        f.truncate(before)
                        raise
        self.lines, self.flushed = [], time.monotonic()


def worth(run: Run, batch: Batch) -> tuple[int, str]:
    """How much a step of all processes learns from: tokens of a language model, rows of others."""
    tokens = run.world.task == "lm" and isinstance(batch.get("y"), Tensor)
    return run.world.ranks * (int((batch.y >= 0).sum()) if tokens else len(batch)), "tokens" if tokens else "rows"


def history(folder: Path) -> list[dict[str, Any]]:
    """The points of metrics.jsonl."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


# making one -----------------------------------------------------------------------------------------------------------------------


def plan(config: Config, *, teacher: Any = None, student: Any = None, data: Any = None, folder: Path | None = None) -> Job:
    """Load everything and train nothing. Objects given here stand in for the configuration's addresses.

    teacher: a network, or a scikit-learn model; student: a network, or a function that makes one; data: as `understudy.data.load` gives.
    Raises `Refused` on whatever can't be used.
    """
    if config.data.task == "lm":
        from understudy.lm import plan as spoken

        if given := [k for k, v in (("teacher", teacher), ("student", student), ("data", data)) if v is not None]:
            raise refuse(given[0], "an object", "an address, for task=lm", "save it in the hub's format: hf:<folder>")
        return spoken(config, folder=folder)
    from understudy import data as sources
    from understudy import models

    rows = config.data
    if data is None:
        data = sources.load(rows.address, target=rows.target or None, text=rows.text or None, task=rows.task or None, valid=rows.valid,
                            test=rows.test, seed=config.training.seed, limit=rows.limit or None)  # fmt: skip
    elif not isinstance(data, sources.Data):
        raise refuse(
            "data",
            type(data).__name__,
            "an address, or what understudy.data.load gave",
            "save your rows, e.g. as npz:rows.npz with X and y",
        )
    path = config.signal.removeprefix("store:") if config.signal.startswith("store:") else ""
    nobody = bool(path) and teacher is None and config.teacher == "none"
    taught = (
        models.Loaded(net=nn.Identity(), trained=True)
        if nobody
        else _loaded(config.teacher, teacher, data, None, config.training.seed)
    )
    student_address = config.student
    learns = _loaded(student_address, student, data, None if nobody else taught.net, config.training.seed)
    views = {who: m.view for who, m in (("teacher", taught), ("student", learns)) if m.view is not None}
    encoders = {who: m.encode for who, m in (("teacher", taught), ("student", learns)) if m.encode is not None}
    _same_labels(data, {"teacher": taught.labels, "student": learns.labels})

    def new_student() -> nn.Module:
        if learns.trained or isinstance(student, nn.Module):
            return copy.deepcopy(learns.net)
        return _loaded(student_address, student, data, None if nobody else taught.net, None).net

    place, training = devices.accelerator(), config.training
    splits = Splits(data, encoders)
    world = Rows(seed=training.seed, rank=place.process_index, ranks=place.num_processes, task=data.task, views=views, data=splits,
                 new_student=new_student, batch=training.batch, parts=training.accumulate, scale=data.y_std if data.task == "regress" else 1.0,
                 given_teacher=None if nobody else taught.net if isinstance(teacher, nn.Module) else taught.net.eval(), augment=config.augment)  # fmt: skip
    world.steps = training.epochs * world.epoch
    world.player = player(training, world.steps)
    method = registry.build(config.method)
    folder = folder or Path(config.folder) / _run_id(method.name, data.name)
    job = Job(config, folder, data, world, method, teacher_trained=taught.trained, example=_example(splits.valid.x))
    if path:
        job.stored = Recorded(path, precision=training.precision, views=config.augment if config.augment.views else None)
    if taught.trained:
        job.listen()
    return job


def asked(job: Job, folder: str, encoding: Encoding, taps: Sequence[str] = (), progress: Callable[[int, int], None] = lambda *_: None,
          by: Callable[..., bool] | None = None) -> bool:  # fmt: skip
    """Ask a job's teacher, as it sees rows, about all of them and keep what it says in a folder: training rows in every view, and all rows as they are.

    progress is told how many are done of how many. by: who asks, with the arguments of `teachers.label`; this process, or its share of those that were
    launched. Whether the folder is finished.
    """
    from understudy.teachers.labelling import label

    data, views, place = job.world.data, job.world.augment, devices.accelerator()
    xs = [x.of("teacher") if isinstance(x, Views) else x for x in (data.train.x, data.valid.x, data.test.x)]
    if views.views and not isinstance(xs[0], Tensor):
        raise refuse("augment.views", views.views, "0 where the two models read rows in ways of their own", "leave it out")
    looks = [(x, v) for x in xs for v in (range(-1, views.views) if x is xs[0] and views.views else (-1,))]
    rows = sum(rows_in(x) for x, _ in looks)

    def batches() -> Iterator[Any]:
        for x, v in looks:
            for i in range(0, rows_in(x), 256):
                part = each(x, lambda t, i=i: t[i : i + 256])  # type: ignore[misc]
                yield {"row": part, "view": torch.full((rows_in(part),), v)} if views.views else part

    by = by or functools.partial(label, share=(place.process_index, place.num_processes))
    return by(job.teacher.to(place.device), batches(), folder, encoding, taps=tuple(taps), views=views if views.views else None,
              code=code_of(job.world.views.get("teacher")), precision=job.config.training.precision, batch=256,
              progress=lambda n: progress(n, rows))  # fmt: skip


def _loaded(address: str, given: Any, data: Any, teacher: nn.Module | None, seed: int | None) -> Any:
    """A model by address or as an object. seed: of the weights it begins with; None draws from the caller's stream."""
    from contextlib import nullcontext

    from understudy import models, teachers

    with stream(seed, address) if seed is not None else nullcontext():
        if given is None:
            address = TEACHERS.get(address, address) if teacher is None else address
            return models.load(address, data=data, teacher=teacher)
        if isinstance(given, nn.Module):
            elsewhere = any(p.device.type != "cpu" for p in given.parameters())  # a run moves its own copies where it lives
            return models.Loaded(net=copy.deepcopy(given).cpu() if elsewhere else given, trained=True)
        if hasattr(given, "predict"):
            return models.Loaded(net=teachers.Sklearn(given, task=data.task), trained=True)
        if callable(given):
            return models.Loaded(net=models.called(given, type(given).__name__), trained=False)
    told = "an address, a torch module, a scikit-learn model, or a function that makes a module"
    raise refuse("model", type(given).__name__, told, "for instance 'tiny-cnn', or file:<path>.safetensors?arch=tiny-cnn")


def _same_labels(data: Any, models: dict[str, tuple[str, ...] | None]) -> None:
    for who, labels in models.items():
        if labels is not None and data.classes and tuple(labels) != tuple(data.classes) and set(labels) == set(data.classes):
            raise refuse(
                f"{who}.labels",
                list(labels),
                f"the order of the data's labels, {list(data.classes)}",
                "reorder the head, or the labels of the rows",
            )


def _example(x: Any) -> Any:
    return each(x, lambda t: t[:16])


def player(training: Training, steps: int) -> Player:
    """The optimiser that the settings ask for."""
    optimiser = {
        "sgd": sgd(training.lr, training.momentum, training.weight_decay),
        "adam": functools.partial(torch.optim.Adam, lr=training.lr, weight_decay=training.weight_decay),
        "adamw": functools.partial(torch.optim.AdamW, lr=training.lr, weight_decay=training.weight_decay),
    }[training.optimiser]
    return Player(optimiser, cosine(steps, training.warmup), training.clip or None)


def _run_id(method: str, data: str) -> str:
    from accelerate.utils import broadcast_object_list

    plain = re.sub(r"[^\w.-]+", "-", Path(data.partition(":")[2] or data).stem)
    name = [f"{datetime.datetime.now():%Y-%m-%d-%H%M%S}-{method}-{plain}-{secrets.token_hex(4)}"]  # a sweep starts many a second
    return broadcast_object_list(name)[0] if devices.accelerator().num_processes > 1 else name[0]


def _same_run(folder: Path, kept: dict[str, Any], now: dict[str, Any]) -> None:
    """Rows that changed would be split anew, and what was learned from would be tested on."""
    for part, mend in (
        ("rows", "bring back the rows it was started with, or begin a new run"),
        ("config", "begin a new run for other settings"),
    ):
        if part in kept and kept[part] != now[part]:
            raise refuse(f"run.{part}", str(folder), f"a folder of a run with the same {part}", mend)


def _version() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    return {"version": version("understudy"), "torch": torch.__version__, "python": platform.python_version()}


def resume(folder: str | os.PathLike[str], *, teacher: Any = None, student: Any = None, data: Any = None, skip_bad_batches: int | None = None,
           trust: bool = False) -> Job:  # fmt: skip
    """The job of a folder, ready to go on from its last checkpoint; objects that it was started with must be handed over again.

    skip_bad_batches: takes the place of the setting of that name, of all trainings; None leaves it.
    trust: addresses in the folder's config.json may import code and ask servers (`torch:`, `openai:`), as they may on a command line."""
    given = {"teacher": teacher, "student": student, "data": data}
    try:
        folder = Path(folder)
        kept = json.loads((folder / "config.json").read_text())
        asked = kept["config"]
        for part in ("training", "teacher_training") if skip_bad_batches is not None else ():
            asked[part]["skip_bad_batches"] = skip_bad_batches
        missing = [k for k in kept.get("objects", []) if given[k] is None]
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as e:
        raise refuse(
            "run", str(folder), f"a run's folder with a readable config.json ({type(e).__name__})", "see `ls runs`"
        ) from None
    config = configuration.build(asked)
    if not trust:
        addresses = {"teacher": config.teacher, "student": config.student, "data": config.data.address}
        named = {k: v for k, v in addresses.items() if given[k] is None} | {"signal": getattr(config, "signal", "")}
        only_data_in(named, folder / "config.json")
    if missing:
        raise refuse(
            "run",
            str(folder),
            f"a run whose {', '.join(missing)} can be loaded again",
            "resume it in Python with understudy.resume(folder, ...=the same object)",
        )
    job = plan(config, teacher=teacher, student=student, data=data, folder=folder)
    _same_run(folder, {k: kept[k] for k in ("rows",) if k in kept}, {"rows": job.data.fingerprint()})
    return job


def _ask_the_doctor(job: Job) -> None:
    from understudy.checks import doctor

    found = doctor(job)
    for f in found:
        if f.level == "error":
            raise Refused(f"{f.name}: {f.message}")
    for f in found:
        if f.level == "warning":
            warnings.warn(f"{f.name}: {f.message}", stacklevel=3)


def distill(teacher: Any = "digits", student: Any = "tiny-cnn", data: Any = "digits", method: str | Method | dict[str, Any] = "kd", *,
            epochs: int | None = None, seed: int | None = None, training: Training | None = None, alone: bool = True, task: str = "",
            signal: str = "online", views: int = 0, lm: dict[str, Any] | None = None, limit: int = 0, folder: str = "runs", track: str | Sequence[str] = (), quiet: bool = False, check: bool = True) -> Job:  # fmt: skip
    """Teach `student` what `teacher` knows, on `data`, by `method`; everything is written under `folder`.

    teacher: an address (see docs/addresses), a network or a scikit-learn model. student: an address, a network or a function that
    makes one. data: an address, or what `understudy.data.load` gave. method: a name, a configured method, or its dictionary.
    signal: where the teacher's word comes from, 'online' or 'store:<folder>' (teacher='none' takes such a folder at its word). views: of each picture,
    one an epoch in turn. task: 'lm' for language models, whose signal may be 'on-policy' too and whose other settings (`config.Language`) are in lm;
    else seen from the data. limit: rows, or documents, at most.
    track: trackers that are told as it goes (tensorboard, mlflow, wandb, trackio), as names or as one word with commas.
    quiet: no progress bars. check: ask the doctor first; what it calls an error is refused, its warnings are warned of.
    Returns the finished run: `.student`, `.report()`, `.export("student.onnx")`, `.findings`. Raises `Refused` on bad input.
    """
    import dataclasses

    if not isinstance(method, (Method, str, dict)):
        raise refuse("method", method, "a name, a configured method, or its dictionary")
    changed = {k: v for k, v in (("epochs", epochs), ("seed", seed)) if v is not None}
    if not isinstance(training, (Training, type(None))):
        raise refuse("training", training, "settings as understudy.Training", "for instance understudy.Training(epochs=5)")
    usual = Training(**configuration.SPOKEN) if task == "lm" else Training()
    settings = dataclasses.replace(training or usual, **changed)
    word = lambda value: value if isinstance(value, str) else f"<{type(value).__name__}>"
    chosen = method.config() if isinstance(method, Method) else {"name": method} if isinstance(method, str) else method
    config = Config(teacher=word(teacher), student=word(student), method=chosen,
                    data=configuration.Rows(address=word(data), task=task, limit=limit, **(configuration.SPOKEN_ROWS if task == "lm" else {})),
                    training=settings, lm=configuration.Language(**configuration.known(configuration.Language, lm or {}, "lm")), signal=signal, augment=Change(views=views), alone=alone, folder=folder, track=named(track))  # fmt: skip
    objects = {k: v for k, v in (("teacher", teacher), ("student", student), ("data", data)) if not isinstance(v, str)}
    job = plan(config, **objects)
    if check:
        _ask_the_doctor(job)
    if quiet:
        return job.run()
    from understudy.report.progress import bars

    with bars() as bar:
        return job.run(bar=bar, note=bar.note)


__all__ = ["Job", "answers", "distill", "history", "plan", "resume", "task"]
