"""understudy label"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.table import Table
from rich.text import Text
from typer import Option

from understudy.cli.shared import Answer, Interrupted, bars, waiting
from understudy.config import Config
from understudy.core.errors import refuse

if TYPE_CHECKING:
    from understudy.teachers import Encoding

KEPT = "What is kept"
EXAMPLES = ("understudy label --task lm --teacher hf:./large --data jsonl:chats.jsonl --samples 50 --out signals",
            "understudy label --task lm --teacher hf:./large --data jsonl:chats.jsonl --hybrid 32 --temperature 2 --out signals",
            "accelerate launch -m understudy label --task lm --teacher hf:./large --data jsonl:chats.jsonl --out signals")  # fmt: skip


def label(
    config: Config,
    out: Annotated[Path, Option(help="The folder; one that was begun is gone on with.")],
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
    hidden: Annotated[
        bool,
        Option("--hidden", help="Hidden states in 8 bits and the head once: good for every divergence.", rich_help_panel=KEPT),
    ] = False,
    temperature: Annotated[
        float, Option(help="The temperature that students will learn at; nothing to --hidden.", rich_help_panel=KEPT)
    ] = 1.0,
) -> Answer:
    """Ask a language model about all training rows, once, and keep what it says in a few bytes a token.

    Students learn from the folder by `--signal store:FOLDER`, with the same data and length (and seed, if masked). Stopped, it goes on at
    the next call."""
    encoding = _encoding(samples, hybrid, top_k, hidden, temperature)
    if config.data.task != "lm":
        raise refuse(
            "--task",
            config.data.task,
            "lm: only language models are labelled into a folder",
            "for others there is `teachers.Stored`",
        )
    if config.lm.signal != "online":
        raise refuse("--signal", config.lm.signal, "left out: it is the teacher that is asked")
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
        from understudy.teachers import label

        job, place = plan(config), devices.accelerator()
        x: Any = job.data.parts["train"].x
        x = x.of("teacher") if isinstance(x, Views) else x
        teacher: Any = job.world.given_teacher
        if next(teacher.parameters(), None) is not None:
            teacher.to(place.device)
    rows, size = len(next(iter(x.values()))), config.training.batch
    parts = ({k: v[i : i + size] for k, v in x.items()} for i in range(0, rows, size))
    try:
        with bars() as bar:
            bar("rows", 0, rows)
            done = label(teacher, parts, out, encoding, batch=size, share=(place.process_index, place.num_processes),
                         progress=lambda n: bar("rows", n, rows))  # fmt: skip
    except KeyboardInterrupt:
        raise Interrupted("stopped; the same command goes on at the next missing shard") from None
    return _answer(out, done)


def _encoding(samples: int | None, hybrid: int | None, top_k: int | None, hidden: bool, temperature: float) -> Encoding:
    from understudy.teachers import Encoding

    asked = {"samples": samples, "hybrid": hybrid, "top-k": top_k, "hidden": 0 if hidden else None}
    chosen = {k: v for k, v in asked.items() if v is not None} or {"samples": Encoding.size}
    if len(chosen) > 1:
        raise refuse("label", " ".join(f"--{k}" for k in chosen), "one of --samples, --hybrid, --top-k and --hidden")
    ((kind, size),) = chosen.items()
    return Encoding(kind, size, temperature)


def _answer(out: Path, done: bool) -> Answer:
    if not done:
        return Answer({"out": str(out), "finished": False}, Text("what is missing is other processes' part", "dim"))
    told = json.loads((out / "manifest.json").read_text("utf-8"))
    plain = {"out": str(out), "finished": True} | {
        k: told[k] for k in ("rows", "places", "bytes", "bytes_a_place", "encoding", "size")
    }
    from understudy.report import words

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(Text("✔", "bold green"), Text(str(out), "bold"), f"{told['rows']:,} rows", f"{told['places']:,} tokens", words.size(told["bytes"]),
                  f"{told['bytes_a_place']:.1f} bytes a token")  # fmt: skip
    table.add_row("", Text(f"--signal store:{out}", "cyan"))
    return Answer(plain, table)
