"""Asking a teacher about many rows by many workers of a Ray cluster: the folder that comes of it is the one that `teachers.label` makes alone.

Who starts it reads the rows and deals them out, a shard at a time, as a Ray Data job; each worker loads the teacher by its address once, holds it,
and writes the shards that it is dealt. A shard's name hangs on its rows alone and it is there whole or not at all, so one whose worker died is
simply done again by another. What crosses the wire of ours is a configuration as JSON and rows as safetensors; Ray pickles its own tasks around that.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import platform
import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy import config as configuration
from understudy.config import Config
from understudy.core import devices
from understudy.core.errors import Refused, refuse
from understudy.core.seeds import stream
from understudy.models.lm import evaluating
from understudy.parts.change import Change
from understudy.teachers.labelling import ROWS, Asker, Writer, code_of
from understudy.teachers.places import Place
from understudy.teachers.shards import Encoding
from understudy.teachers.stored import keys

TRIES = 3  # of a shard, or of loading the teacher, each of which a worker dies of, before it is given up
LOADING, MEMORY = "", "too little memory? a smaller batch, fewer workers a machine"
INSTALL = "pip install 'understudy[cluster]'"


def label(config: Config, teacher: nn.Module, rows: Iterable[Any], folder: str | os.PathLike[str], encoding: Encoding | None = None, *,
          taps: tuple[str, ...] = (), views: Change | None = None, code: str = "", precision: str = "no", batch: int = 8, shard: int = ROWS,
          workers: int = 0, gpus: float = 0.0, progress: Any = lambda _: None) -> bool:  # fmt: skip
    """As `teachers.label`, by a cluster's workers, who load the same teacher by what stands in config.

    folder: on a disk or at an fsspec address that all of them reach. workers: how many at once, at most one a shard; 0 = one a processor, or as many as the
    cluster's GPUs have room for. gpus: of each worker, its share of one, 0 to 1. The cluster is the one at RAY_ADDRESS, else one of this machine, until the
    work is done. Raises `Refused` where Ray isn't installed or doesn't answer, where a worker has another teacher or can't reach the folder, and where
    a shard has cost three workers their life; what is written by then stays, and the next call goes on from there.
    """
    ray = needed()
    if devices.launched():
        raise refuse("--cluster", "ray", "one process that deals the rows out", "leave `accelerate launch` away")
    if not 0 <= gpus <= 1:
        raise refuse("--gpus-per-worker", gpus, "a number from 0 to 1: a worker holds its teacher on one device")
    place = Place(folder)
    if place.local is None and place.address.startswith("memory:"):
        raise refuse(
            "label.out", place.address, "a folder that all workers reach; this one is of one process", "a shared disk, or s3://…"
        )
    if not ray.is_initialized():
        _listens(os.environ.get("RAY_ADDRESS", ""))
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        raise refuse("rows", [], "at least one batch")
    with torch.no_grad(), evaluating(teacher):
        ask = Asker(teacher, first, encoding or Encoding(), taps=taps, views=views, code=code, precision=precision, shard=shard)
    writer = Writer(place, ask.plan, ask.weights)
    files: list[str] = []
    done = 0

    def missing() -> Iterator[tuple[str, Any]]:
        nonlocal done
        for file, x, key in writer.parts(itertools.chain([first], rows)):
            files.extend([file] if file else [])
            if file and not writer.has(file, key):
                yield file, x
            else:
                done += len(key)
                progress(done)

    left = missing()
    progress(0)
    head = list(itertools.islice(left, 1))
    lots: list[Iterable[tuple[str, Any]]] = [itertools.chain(head, left)]
    if any(c.words and c.kind != "hidden" for c in ask.plan.columns.values()) and not place.has("book.safetensors"):
        lots = [head, left]  # bits of words hang on what is written first: it is the same shard whoever is how fast
    if head:
        about = {"config": config.to_dict(), "folder": str(place.local.absolute()) if place.local is not None else place.address,
                 "encoding": asdict(ask.plan.encoding), "taps": list(taps), "views": ask.plan.views, "precision": precision, "batch": batch,
                 "shard": shard, "here": os.getcwd()}  # fmt: skip
        with connected(ray, workers):
            there = ray.cluster_resources()
            workers = workers or int(there.get("GPU", 0) / gpus if gpus else there.get("CPU", 1)) or 1
            told = json.dumps(about | {"most": workers}), ray.remote(num_cpus=0)(Tally).remote()
            for lot in lots:
                for n in _dealt(ray, lot, told, workers, gpus):
                    done += n
                    progress(done)
        place.leave()
        place.sweep()  # what workers left half-written that died
    if not writer.finish(files):
        raise refuse(
            "label.out", str(place), "a folder that all workers reach; what they wrote isn't here", "a shared disk, or s3://…"
        )
    return True


def needed() -> Any:
    """Ray, which speaks to nobody but its cluster. Raises `Refused` where it isn't installed."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if not os.environ.get("RAY_ADDRESS"):
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # its name for: listen on the loopback only
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # the rest is in its own files
    try:
        import ray
        import ray.data
    except ImportError as e:
        raise refuse("--cluster", "ray", f"a package that is installed here ({e})", INSTALL) from None
    return ray


def _listens(address: str) -> None:
    """Raises `Refused` where nobody does at host:port, at once: Ray asks for a quarter of an hour."""
    host, _, port = address.rpartition(":")
    if host and "://" not in address and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        except (OSError, OverflowError) as e:
            raise _silent(address, e) from None


def _silent(address: str, e: BaseException) -> Refused:
    why = (str(e).strip().splitlines() or [type(e).__name__])[-1]
    return refuse("RAY_ADDRESS", address, f"a Ray cluster that answers ({why})", "`ray start --head` begins one")


@contextmanager
def connected(ray: Any, workers: int) -> Iterator[None]:
    """To the cluster that this process is part of already, or to the one at RAY_ADDRESS, or to one of this machine that ends with the block."""
    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS", "")
    local = {} if address else {"address": "local", "num_cpus": workers or None, "include_dashboard": False}
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **local)
    except (ConnectionError, RuntimeError, ValueError) as e:
        raise _silent(address, e.__cause__ or e) from None
    try:
        yield
    finally:
        ray.shutdown()


def _dealt(ray: Any, lot: Iterable[tuple[str, Any]], told: tuple[Any, ...], workers: int, gpus: float) -> Iterator[int]:
    """Rows of each shard of a lot, as it is written. told: what a worker is made with."""
    for table in _mapped(ray, [ray.put(_block(file, x)) for file, x in lot], told, workers, gpus):
        for said in table.to_pylist():
            if said["refused"]:
                raise Refused(said["refused"])
            yield said["rows"]


def _mapped(ray: Any, blocks: list[Any], told: tuple[Any, ...], workers: int, gpus: float) -> Iterator[Any]:
    """What workers make of blocks, as it comes."""
    if not blocks:
        return
    context, log = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    context.enable_progress_bars = context.print_on_execution_start = False
    log.setLevel(max(log.level, logging.ERROR))
    pool = ray.data.ActorPoolStrategy(size=min(workers, len(blocks)), max_tasks_in_flight_per_actor=1)
    made = ray.data.from_arrow_refs(blocks).map_batches(Worker, fn_constructor_args=told, compute=pool, batch_size=1, batch_format="pyarrow",
                                                        num_gpus=gpus or None)  # fmt: skip
    errors = ray.exceptions
    try:
        yield from made.iter_batches(batch_size=None, batch_format="pyarrow")
    except (errors.RayActorError, errors.WorkerCrashedError, errors.OutOfMemoryError, errors.ObjectLostError) as e:
        why = str(e).strip().splitlines()[-1]
        raise refuse(
            "--cluster", type(e).__name__, f"workers that live ({why})", "the same command goes on at the next missing shard"
        ) from None


def _block(file: str, x: Any) -> Any:
    """A shard's rows as an Arrow table of one row."""
    import pyarrow as pa
    from safetensors.torch import save

    tensors: dict[str, Tensor] = x if isinstance(x, dict) else {"": x}
    data = save({k: t.contiguous() for k, t in tensors.items()})
    return pa.table({"file": [file], "x": pa.array([data], pa.large_binary())})


class Tally:
    """How often each shard was begun, and the loading of the teacher; outlives those who begin it."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()

    def begin(self, what: str) -> int:
        """-> the how-manieth time this is"""
        self.begun[what] += 1
        return self.begun[what]

    def end(self, what: str) -> None:
        """It is done; from now on it counts from the beginning."""
        del self.begun[what]


class Worker:
    """Loads a teacher once, and writes the shards that it is dealt; a table of file and rows -> a table of how many, or of why not."""

    def __init__(self, about: str, tally: Any) -> None:
        self.about, self.tally, self.writer = json.loads(about), tally, None
        try:
            self._load()
            self.refused = ""
        except Exception as e:  # what a machine lacks, in one line, from whichever it is
            why = f"a worker that can load the teacher; on {platform.node()} {e}"
            self.refused = str(
                e if isinstance(e, Refused) else refuse("--cluster", type(e).__name__, why, "what it needs has to be there")
            )

    def _load(self) -> None:
        import ray

        begun = ray.get(self.tally.begin.remote(LOADING))
        if begun > TRIES * self.about["most"]:  # of whom all may be at it
            raise refuse(
                "--cluster", self.about["config"]["teacher"], f"a teacher that a worker can load; {begun - 1} died of it", MEMORY
            )
        if Path(self.about["here"]).is_dir():
            os.chdir(self.about["here"])  # addresses may be relative to it
        self.net, self.code = _loaded(configuration.build(self.about["config"]))
        ray.get(self.tally.end.remote(LOADING))

    def __call__(self, table: Any) -> Any:
        import pyarrow as pa
        import ray
        from safetensors.torch import load

        told = []
        for row in table.to_pylist():
            tensors = load(row["x"])
            try:
                if ray.get(self.tally.begin.remote(row["file"])) > TRIES:
                    raise refuse("--cluster", row["file"], f"a shard that a worker survives; {TRIES} died of it", MEMORY)
                told.append({"rows": self._written(row["file"], tensors.get("", tensors)), "refused": self.refused})
            except Refused as e:
                told.append({"rows": 0, "refused": str(e)})
        return pa.Table.from_pylist(told)

    @torch.no_grad()
    def _written(self, file: str, x: Any) -> int:
        """How many rows this shard has, now that it is there."""
        if self.refused:
            raise Refused(self.refused)
        a, key = self.about, keys(x)
        if self.writer is None:
            views = None if a["views"] is None else Change(**a["views"])
            self.ask = Asker(self.net, x, Encoding(**a["encoding"]), taps=tuple(a["taps"]), views=views, code=self.code, precision=a["precision"],
                             shard=a["shard"])  # fmt: skip
            self.writer = Writer(a["folder"], self.ask.plan, self.ask.weights, alone=False)
        if not self.writer.has(file, key):  # whoever began it may have died after it was written
            self.writer.write(file, key, self.ask.all(x, key, a["batch"]))
        return len(key)


def _loaded(config: Config) -> tuple[nn.Module, str]:
    """The teacher of a configuration on this process's device, as it sees rows, and `code_of` what they go through first."""
    device = devices.accelerator().device
    if config.data.task == "lm":
        from understudy.models import language

        with stream(config.training.seed, "teacher"):
            return language.load(config.teacher).net.eval().to(device), ""
    from understudy.job import plan

    job = plan(config, student=nn.Identity())
    job.teach()
    return job.teacher.to(device), code_of(job.world.views.get("teacher"))


__all__ = ["Tally", "Worker", "connected", "label", "needed"]
