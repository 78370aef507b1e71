"""understudy plan"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from typer import Option

from understudy.cli.shared import Answer
from understudy.planning.plans import SPARE, Settings, plans

if TYPE_CHECKING:
    from understudy.planning import Plan
    from understudy.planning.devices import Device
    from understudy.planning.sizes import Shape

EXAMPLES = ("understudy plan --teacher 70b --student 3b --tokens 100b --gpus 64xH100",
            "understudy plan --teacher hf:./big --student hf:./small --tokens 2b --gpus 8xA100 --students 5",
            "understudy plan --teacher 70b --student 3b --tokens 100b --gpus 64xH100 --bits 4 --mfu 0.3 --price 1.9 --json")  # fmt: skip

MODELS, KEPT, ASSUMED, RENT = "Models", "How it learns", "Assumed", "Devices"


def plan(
    *,
    teacher: Annotated[str, Option(help="Parameters, as 70b, or hf:./folder, whose config.json is read.", rich_help_panel=MODELS)],
    student: Annotated[str, Option(help="The same, of the model that learns.", rich_help_panel=MODELS)],
    tokens: Annotated[str, Option(help="That are learned from, once: 100b.", rich_help_panel=MODELS)],
    gpus: Annotated[str, Option(help="64xH100; of devices that aren't known say the four options of --peak to --price.", rich_help_panel=RENT)],
    vocabulary: Annotated[str | None, Option(help="Words, of both; the teacher's when left out.", rich_help_panel=MODELS)] = None,
    students: Annotated[int, Option(help="That learn, one behind the other: a store is written once.", rich_help_panel=KEPT)] = Settings.students,
    epochs: Annotated[int, Option(help="Visits to each token.", rich_help_panel=KEPT)] = Settings.epochs,
    length: Annotated[int, Option(help="Tokens of a row.", rich_help_panel=KEPT)] = Settings.length,
    rows: Annotated[int, Option(help="Rows of a forward pass and device.", rich_help_panel=KEPT)] = Settings.rows,
    samples: Annotated[int, Option(help="Draws that a store keeps of a token.", rich_help_panel=KEPT)] = Settings.samples,
    k: Annotated[int, Option("--k", help="Likeliest words that a store keeps of a token.", rich_help_panel=KEPT)] = Settings.k,
    weights: Annotated[str, Option(help="Of the student: float32 (computes in bf16), bfloat16 or lora.", rich_help_panel=KEPT)] = Settings.weights,
    bits: Annotated[int, Option(help="Of the teacher's weights: 16, 8 or 4.", rich_help_panel=KEPT)] = Settings.bits,
    checkpointing: Annotated[bool, Option("--checkpointing/--no-checkpointing", help="Compute activations twice, to hold few.", rich_help_panel=KEPT)] = Settings.checkpointing,
    sharded: Annotated[bool | None, Option("--sharded/--no-sharded", help="FSDP over all devices; where it doesn't fit otherwise when left out.", rich_help_panel=KEPT)] = Settings.sharded,
    written: Annotated[float, Option(help="Of a row, what an on-policy student writes.", rich_help_panel=KEPT)] = Settings.written,
    batch: Annotated[int, Option(help="Rows that a device writes at once.", rich_help_panel=KEPT)] = Settings.batch,
    mfu: Annotated[float, Option(help="Of a device's operations, what training uses.", rich_help_panel=ASSUMED)] = Settings.mfu,
    forward: Annotated[float, Option(help="Of them, what a forward pass alone uses.", rich_help_panel=ASSUMED)] = Settings.forward,
    disk: Annotated[float, Option(help="GB a second of the store's disk, for all devices together.", rich_help_panel=ASSUMED)] = Settings.disk / 1e9,
    link: Annotated[float, Option(help="GB a second between a device and the others.", rich_help_panel=ASSUMED)] = Settings.link / 1e9,
    months: Annotated[float, Option(help="That a store is kept.", rich_help_panel=ASSUMED)] = Settings.months,
    price: Annotated[float | None, Option(help="Dollars of a device's hour.", show_default="an assumption, by device", rich_help_panel=RENT)] = None,
    peak: Annotated[float | None, Option(help="Dense bf16 TFLOP/s of a device.", show_default="its data sheet's", rich_help_panel=RENT)] = None,
    memory: Annotated[float | None, Option(help="GB of a device.", show_default="its data sheet's", rich_help_panel=RENT)] = None,
    bandwidth: Annotated[float | None, Option(help="TB a second of a device's memory.", show_default="its data sheet's", rich_help_panel=RENT)] = None,
) -> Answer:  # fmt: skip
    """What distilling a language model would take: operations, hours, memory, store and price of three ways, the cheapest that fits first.

    By formula; nothing is run. How far such figures are from a measured run is in the guide."""
    from understudy.planning.devices import device
    from understudy.planning.sizes import counted, number, shape

    words = int(number("vocabulary", vocabulary)) if vocabulary else 0
    t = shape("teacher", teacher, words)
    s = shape("student", student, words or (0 if student.startswith("hf:") else t.words))
    count, name = counted("gpus", gpus)
    times = lambda value, unit: None if value is None else value * unit
    rented = device(name, flops=times(peak, 1e12), memory=times(memory, 1e9), bandwidth=times(bandwidth, 1e12), price=price)
    how = Settings(length=length, rows=rows, checkpointing=checkpointing, weights=weights, bits=bits, sharded=sharded, samples=samples, k=k, epochs=epochs,
                   students=students, mfu=mfu, forward=forward, written=written, batch=batch, disk=disk * 1e9, link=link * 1e9, months=months)  # fmt: skip
    many = number("tokens", tokens)
    made = plans(s, t, many, rented, count, how)
    data = {"plans": [p.to_dict() for p in made], "student": _told(s), "teacher": _told(t), "tokens": many, "gpus": count,
            "device": dataclasses.asdict(rented), "assumed": dataclasses.asdict(how)}  # fmt: skip
    return Answer(data, view(made, s, t, many, rented, count, how))


def _told(s: Shape) -> dict[str, Any]:
    return dataclasses.asdict(s) | {"parameters": s.parameters}


def view(made: list[Plan], s: Shape, t: Shape, tokens: float, d: Device, gpus: int, how: Settings) -> Group:
    """The models, the plans, what each is made of, what doesn't fit and what is assumed."""
    parts: list[RenderableType] = [_models(s, t, tokens, d, gpus), Text(), _plans(made), _stages(made)]
    failing = [p for p in made if not p.fits]
    if failing:
        parts += [Text("\nWhat doesn't fit", "bold"), *(_mend(p) for p in failing)]
    return Group(*parts, Text("\nAssumed", "bold"), _assumed(d, how))


def _models(s: Shape, t: Shape, tokens: float, d: Device, gpus: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for who, m in (("teacher", t), ("student", s)):
        table.add_row(
            Text(who, "dim"),
            Text(m.name, "bold"),
            f"{big(m.parameters)} parameters · {m.layers} layers of {m.h:,} · {m.words:,} words",
        )
    table.add_row(Text("tokens", "dim"), Text(big(tokens), "bold"))
    table.add_row(Text("devices", "dim"), Text(f"{gpus:,} x {d.name}", "bold"),
                  f"{d.flops / 1e12:,.0f} TFLOP/s dense bf16 · {size(d.memory)} · {d.bandwidth / 1e12:.3g} TB/s ({d.source})")  # fmt: skip
    return table


def _plans(made: list[Plan]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    for title in ("", "price", "hours", "FLOPs", "a device holds", "store"):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    for i, p in enumerate(made):
        best = i == 0 and p.fits
        name = Text(("★ " if best else "  " if p.fits else "✘ ") + p.name, "bold green" if best else "" if p.fits else "yellow")
        table.add_row(name, f"${p.price:,.0f}", hours(p.hours), f"{p.flops:.2e}", Text(size(p.memory), "" if p.fits else "yellow"),
                      size(p.store) if p.store else "–")  # fmt: skip
    return table


def _stages(made: list[Plan]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for p in made:
        for i, stage in enumerate(p.stages):
            table.add_row(Text("  " + p.name if i == 0 else "", "dim"), stage.name + (", sharded" if stage.sharded else ""), Text(f"{hours(stage.seconds / 3600)} h", justify="right"),
                          Text(f"waits for {'the ' if stage.bound in ('disk', 'network') else ''}{stage.bound}", "dim"))  # fmt: skip
        table.add_row("", Text(p.note, "dim")) if p.note else None
    return table


def _mend(p: Plan) -> Text:
    room = size(SPARE * p.device.memory)
    text = Text.assemble("  ✘ ", (p.name, "yellow"), f": {size(p.memory)} of {room}; ")
    return text.append("fits with " if p.mends else "no single setting here helps").append(" or ".join(p.mends), "cyan")


def _assumed(d: Device, how: Settings) -> Table:
    """Every number that is one, and how to say another."""
    rows = [("price", f"${d.price:.2f} of a device's hour; ${how.keeping:.2f} of a GB and month, for {how.months:g} month{'s' * (how.months != 1)}", "--price --months"),
            ("speed", f"{100 * how.mfu:.0f} % of the operations in training, {100 * how.forward:.0f} % in a forward pass alone", "--mfu --forward"),
            ("rows", f"{how.rows} of {how.length:,} tokens a forward pass, checkpointing {'on' if how.checkpointing else 'off'}, {how.weights} weights, a teacher of {how.bits} bits",
             "--rows --length --weights --bits"),
            ("store", f"{_kept(how)} bytes a token, as measured at 116,726 words; a disk of {size(how.disk)}/s", "--samples --k --disk"),
            ("writing", f"{100 * how.written:.0f} % of a row, {how.batch} rows at once, {100 * how.reach:.0f} % of the memory's bandwidth, {1000 * how.launch:g} ms a layer", "--written --batch"),
            ("network", f"{size(how.link)}/s of a device, while it computes", "--link")]  # fmt: skip
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, told, flags in rows:
        table.add_row(Text("  " + name, "dim"), told, Text(flags, "cyan"))
    return table


def _kept(how: Settings) -> str:
    from understudy.planning import costs

    return f"{costs.stored('samples', how.samples):.0f} (samples) and {costs.stored('top-k', how.k):.0f} (top-k)"


def big(count: float) -> str:
    """70.6 billion"""
    unit, worth = next((u, w) for u, w in (("trillion", 1e12), ("billion", 1e9), ("million", 1e6), ("", 1.0)) if count >= w)
    return f"{count / worth:.3g} {unit}".strip()


def size(count: float) -> str:
    unit, worth = next((u, w) for u, w in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("B", 0.0)) if count >= w)
    return f"{count / (worth or 1):.1f} {unit}" if count < 1000 * (worth or 1) else f"{count / worth:,.0f} {unit}"


def hours(count: float) -> str:
    return f"{count:,.0f}" if count >= 100 else f"{count:.1f}" if count >= 1 else f"{count:.2g}"
