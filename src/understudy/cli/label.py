"""understudy label"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from rich.table import Table
from rich.text import Text
from typer import Option

from understudy.cli.shared import Answer, Interrupted, bars, waiting
from understudy.config import Config
from understudy.core.errors import refuse

if TYPE_CHECKING:
    from understudy.teachers import Encoding

KEPT, WHO = "What is kept", "Who asks"
EXAMPLES = ("understudy label --teacher digits --data digits --taps penultimate --out signals",
            "understudy label --teacher cnn --data folder:pictures --views 4 --dense float16 --out s3://bucket/signals",
            "understudy label --task lm --teacher hf:./large --data jsonl:chats.jsonl --samples 50 --out signals",
            "understudy label --task lm --teacher hf:./large --data jsonl:chats.jsonl --hybrid 32 --temperature 2 --out signals",
            "accelerate launch -m understudy label --task lm --teacher hf:./large --data jsonl:chats.jsonl --out signals",
            "understudy label --cluster ray --gpus-per-worker 1 --task lm --teacher hf:./large --data jsonl:chats.jsonl --out s3://bucket/signals")  # fmt: skip


def label(
    config: Config,
    out: Annotated[
        str,
        Option(
            help="The folder, or an fsspec address; one that was begun is gone on with, one that is finished gets what it lacks."
        ),
    ],
    samples: Annotated[
        int | None, Option(min=1, help="Draws a token, unbiased; the default, 50 of them.", rich_help_panel=KEPT)
    ] = None,
    hybrid: Annotated[
        int | None,
        Option(min=1, help="Words a token at most, the likeliest nearly exact, others drawn; unbiased.", rich_help_panel=KEPT),
    ] = None,
    top_k: Annotated[
        int | None,
        Option("--top-k", min=1, help="The likeliest words, and how much is left for the others; biased.", rich_help_panel=KEPT),
    ] = None,
    dense: Annotated[
        str | None,
        Option(
            "--dense",
            metavar="KIND",
            help="All of the answer: float32, exact and the default but for language models; float16; int8.",
            rich_help_panel=KEPT,
        ),
    ] = None,
    taps: Annotated[
        str | None,
        Option(
            "--taps",
            help="Features that are kept too: penultimate, stages, module names; several with commas.",
            rich_help_panel=KEPT,
        ),
    ] = None,
    hidden: Annotated[
        bool,
        Option("--hidden", help="Hidden states in 8 bits and the head once: good for every divergence.", rich_help_panel=KEPT),
    ] = False,
    temperature: Annotated[
        float, Option(help="The temperature that students will learn at; nothing to --hidden.", rich_help_panel=KEPT)
    ] = 1.0,
    cluster: Annotated[
        str | None,
        Option(
            "--cluster",
            metavar="ray",
            help="Workers of a Ray cluster, the one at RAY_ADDRESS, or else one of this machine for as long as it takes.",
            rich_help_panel=WHO,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        Option(min=1, help="How many of them; one a processor, or a GPU's share, when left out.", rich_help_panel=WHO),
    ] = None,
    gpus: Annotated[
        float | None,
        Option("--gpus-per-worker", min=0, max=1, help="The share of a GPU that each of them needs.", rich_help_panel=WHO),
    ] = None,
) -> Answer:
    """Ask a teacher about all rows, once, and keep what it says: answers and features, of several views of a picture; of language models a few bytes a token.

    Students learn from the folder by `--signal store:FOLDER`, with the same data (for language models also length, and seed, if masked). Stopped, it goes
    on at the next call; rows that are new are added."""
    if config.signal != "online":
        raise refuse("--signal", config.signal, "left out: it is the teacher that is asked")
    by = _by(config, cluster, workers, gpus)
    spoken = config.data.task == "lm"
    encoding = _encoding(
        {"samples": samples, "hybrid": hybrid, "top-k": top_k, "hidden": 0 if hidden else None},
        dense,
        temperature,
        "samples" if spoken else "float32",
    )
    asked = tuple(word.strip() for word in (taps or "").split(",") if word.strip())
    if not spoken:
        return _rows(config, out, encoding, asked, by)
    if asked:
        raise refuse("--taps", taps, "left out: of language models --hidden keeps the last states")
    if config.teacher.startswith("openai:"):
        from understudy.teachers import Encoding
        from understudy.teachers.remote import from_address

        if any(v is not None for v in (samples, hybrid, top_k)) or hidden or temperature != 1:
            raise refuse(
                "label",
                config.teacher,
                "no encoding and temperature of ours: a server tells its topk",
                "openai:<url>?model=<name>&topk=20",
            )
        encoding = Encoding("top-k", max(1, from_address(config.teacher).topk), 1.0)
        config = dataclasses.replace(config, lm=dataclasses.replace(config.lm, pack=False))
    elif config.student == Config.student:
        config = dataclasses.replace(config, student=config.teacher)
    with waiting(f"loading {config.teacher} and {config.data.address} …"):
        from understudy.core import devices
        from understudy.core.batch import Views
        from understudy.lm import plan

        job, place = plan(config), devices.accelerator()
        x: Any = job.data.parts["train"].x
        x = x.of("teacher") if isinstance(x, Views) else x
        teacher: Any = job.world.given_teacher
        if next(teacher.parameters(), None) is not None:
            teacher.to(place.device)
    rows, size = len(next(iter(x.values()))), config.training.batch
    parts = ({k: v[i : i + size] for k, v in x.items()} for i in range(0, rows, size))
    with resumed(), bars() as bar:
        bar("rows", 0, rows)
        done = by(
            teacher,
            parts,
            out,
            encoding,
            precision=config.training.precision,
            batch=size,
            progress=lambda n: bar("rows", n, rows),
        )
    return _answer(out, done)


def _by(config: Config, cluster: str | None, workers: int | None, gpus: float | None) -> Callable[..., bool]:
    """Who labels: this process, or one of those that were launched, or a cluster's workers."""
    if cluster is None:
        if workers is not None or gpus is not None:
            raise refuse(
                "--workers" if workers is not None else "--gpus-per-worker",
                workers if workers is not None else gpus,
                "left out, without --cluster ray",
            )
        from understudy.core import devices
        from understudy.teachers import label

        place = devices.accelerator()
        return functools.partial(label, share=(place.process_index, place.num_processes))
    if cluster != "ray":
        raise refuse("--cluster", cluster, "ray")
    if config.teacher.startswith("openai:"):
        raise refuse("--cluster", cluster, "left out: a server is asked by one process, which sees to what it costs")
    from understudy.teachers import cluster as rays

    rays.needed()
    return functools.partial(rays.label, config, workers=workers or 0, gpus=gpus or 0.0)


def _rows(config: Config, out: str, encoding: Encoding, taps: tuple[str, ...], by: Callable[..., bool]) -> Answer:
    """Of models for rows: training rows as they are and in every view, the others as they are."""
    from torch import nn

    with waiting(f"loading {config.teacher} and {config.data.address} …"):
        from understudy.job import asked, plan

        job = plan(config, student=nn.Identity())
    if encoding.size and job.data.task != "classify":
        raise refuse("label", encoding.kind, f"--dense: the answers of '{job.data.task}' are no probabilities of classes")
    with resumed(), bars() as bar:
        job.teach(bar)
        done = asked(job, out, encoding, taps, lambda n, rows: bar("rows", n, rows), by)
    return _answer(out, done)


@contextmanager
def resumed() -> Iterator[None]:
    """Ctrl-C loses nothing, and says so."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("stopped; the same command goes on at the next missing shard") from None


def _encoding(asked: dict[str, int | None], dense: str | None, temperature: float, usual: str) -> Encoding:
    from understudy.teachers import Encoding
    from understudy.teachers.columns import DENSE

    if dense is not None and dense not in DENSE:
        raise refuse("--dense", dense, f"one of {', '.join(DENSE)}")
    chosen = {k: v for k, v in (asked | ({dense: 0} if dense else {})).items() if v is not None} or {
        usual: Encoding.size if usual == "samples" else 0
    }
    if len(chosen) > 1:
        raise refuse("label", " ".join(f"--{k}" for k in chosen), "one of --samples, --hybrid, --top-k, --hidden and --dense")
    ((kind, size),) = chosen.items()
    return Encoding(kind, size, temperature)


def _answer(out: str, done: bool) -> Answer:
    from understudy.teachers.places import Place
    from understudy.teachers.shards import manifest

    if not done:
        return Answer({"out": out, "finished": False}, Text("what is missing is other processes' part", "dim"))
    told = manifest(Place(out))
    plain = {"out": out, "finished": True} | {
        k: told[k] for k in ("rows", "places", "bytes", "bytes_a_row", "bytes_a_place", "encoding", "size")
    }
    plain |= {"taps": list(told["taps"]), "views": told["views"]}
    from understudy.report import words

    table = Table.grid(padding=(0, 2, 0, 0))
    each = ("place", "token") if told["places"] != told["rows"] else ("row", "row")
    counts = [f"{told['rows']:,} rows"] + ([f"{told['places']:,} tokens"] if each[1] == "token" else [])
    table.add_row(
        Text("✔", "bold green"),
        Text(out, "bold"),
        *counts,
        words.size(told["bytes"]),
        f"{told[f'bytes_a_{each[0]}']:.1f} bytes a {each[1]}",
    )
    table.add_row("", Text(f"--signal store:{out}", "cyan"))
    return Answer(plain, table)
