"""What a stored teacher costs and is worth: bytes a token, gradient error and held-out loss of each encoding; seconds of a student's step.

    python benchmarks/store.py frontier --words 8192 --out benchmarks/results/store.json
    python benchmarks/store.py frontier --words 131072 --out benchmarks/results/store.json
    python benchmarks/store.py sweep --words 131072 --out benchmarks/results/store.json
    python benchmarks/store.py step --out benchmarks/results/store.json
    python benchmarks/store.py draw --out benchmarks/results/store.json

Text is the source of Python's standard library behind a byte-pair tokenizer trained on it (which runs out of pairs at about 110,000 words). A
teacher that has read for a while is asked about rows that it hasn't read, once an encoding, into a folder; students that begin with the same weights learn from
each folder, one visit a row, and from the teacher itself. The soft and the sharp teacher are the same one, its logits multiplied until its mean
entropy is so many nats. Every line of the result is written as it is done; what is there already isn't done again.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import math
import os
import platform
import shlex
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.update(TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")

import torch
from torch import Tensor, nn

from understudy.core.seeds import stream
from understudy.data.code import library, train_tokenizer
from understudy.models.lm import LM
from understudy.parts.divergence import entropy, kl, nll
from understudy.parts.lazy import Lazy
from understudy.parts.schedule import cosine
from understudy.teachers import Encoding, Recorded, label
from understudy.worlds.texts import llama

LENGTH = 64  # tokens of a row
X = dict[str, Tensor]


@dataclass(frozen=True)
class Size:
    """Of an experiment: rows a step and steps of the teacher, of the students, rows held out; (width, layers, heads) of both; words that the
    teacher's own loss is taken over, 0 = all of them; rows of a shard, of the first of which the book is made."""

    reads: tuple[int, int]
    steps: tuple[int, int]
    held: int
    teacher: tuple[int, int, int] = (64, 2, 4)
    student: tuple[int, int, int] = (32, 1, 2)
    some: int = 0
    shard: int = 1024


NARROW, WIDE = Size((16, 600), (8, 250), 128), Size((16, 600), (4, 100), 32, some=4096, shard=100)
NATS = {"soft": 5.5, "sharp": 1.0}  # mean entropy of a token
MANY = {"as it is": [("samples", 50), ("samples", 12), ("top-k", 32), ("hybrid", 16), ("samples", 25), ("samples", 100), ("top-k", 8), ("hidden", 0)],
        "sharp": [("samples", 50), ("top-k", 32), ("samples", 12), ("hybrid", 8), ("hidden", 0)]}  # fmt: skip
FEW = {"soft": [("samples", 140), ("samples", 50), ("samples", 12), ("top-k", 32), ("hybrid", 16), ("samples", 25), ("hidden", 0), ("samples", 100), ("hybrid", 64)], "as it is": [("samples", 50), ("samples", 12)],
       "sharp": [("samples", 50), ("samples", 12), ("top-k", 32), ("hybrid", 8)]}  # fmt: skip


class Sharper(nn.Module):
    """A teacher whose logits are multiplied."""

    def __init__(self, inner: LM, factor: float) -> None:
        super().__init__()
        self.inner, self.size = inner, inner.size
        self.register_buffer("factor", torch.tensor(factor))

    def forward(self, x: X) -> Lazy:
        return (float(self.factor) * self.inner(x)).detach()


class Texts:
    """Rows of the standard library: for the teacher to read, to be asked about, held out."""

    def __init__(self, words: int, size: Size) -> None:
        files = library()
        cut = len(files) * 9 // 10
        self.tokenizer = train_tokenizer(files[:cut], words)
        self.words = len(self.tokenizer)
        need = math.prod(size.reads)
        train = self._rows(files[:cut], need + math.prod(size.steps))
        self.read, self.ask, self.held = train[:need], train[need:], self._rows(files[cut:], size.held)

    def _rows(self, files: list[str], rows: int) -> Tensor:
        ids: list[int] = []
        for text in files:
            if len(ids) >= rows * (LENGTH + 1):
                break
            ids += [*self.tokenizer(text).input_ids, self.tokenizer.eos_token_id]
        return torch.tensor(ids[: rows * (LENGTH + 1)]).view(rows, LENGTH + 1)


def asked(rows: Tensor) -> X:
    return {"input_ids": rows[:, :-1].contiguous(), "asked": torch.ones(len(rows), LENGTH, dtype=torch.bool)}


def learn(net: LM, rows: Tensor, batch: int, lr: float, loss: Callable[[Lazy, Tensor], Tensor]) -> LM:
    """One visit a row; loss of the answer and the rows it is about."""
    parts = rows.split(batch)
    opt, rate = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=0.01), cosine(len(parts), len(parts) // 10)
    for step, part in enumerate(parts):
        for group in opt.param_groups:
            group["lr"] = lr * rate(step)
        opt.zero_grad()
        loss(net(asked(part)), part).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
    return net.eval()


def hard(out: Lazy, rows: Tensor) -> Tensor:
    return nll(out, rows[:, 1:])


def kept(folder: Path | None, name: str, net: LM, make: Callable[[LM], LM]) -> LM:
    """What make makes of a network, from the folder where it was made before."""
    from safetensors.torch import load_model, save_model

    if folder is None:
        return make(net)
    path = folder / f"{name}.safetensors"
    if path.exists():
        load_model(net, path)
        return net.eval()
    folder.mkdir(parents=True, exist_ok=True)
    made = make(net)
    save_model(made, str(path))
    return made


def over_some(rows: Tensor, words: int, some: int) -> Callable[[Lazy, Tensor], Tensor]:
    """Sampled softmax (Jean et al. 2015): cross-entropy over the words of the batch and some others, drawn as often as they are read."""
    often = torch.bincount(rows.flatten(), minlength=words).double() + 0.1
    often = (often / often.sum()).float()

    def loss(out: Lazy, part: Tensor) -> Tensor:
        y, (head,) = part[:, 1:].flatten(), out.heads
        words = torch.cat([y, torch.multinomial(often, some, replacement=True)]).unique()
        logits = head.hidden.flatten(0, 1) @ head.weight[words].mT - (often[words] * some).log()
        return nn.functional.cross_entropy(logits, torch.searchsorted(words, y))

    return loss


def judge(student: LM, teacher: nn.Module, rows: Tensor) -> dict[str, float]:
    """On held-out rows, nats a token: of the text, and of the teacher's distribution (its entropy and how far the student is from it)."""
    text, apart, own = [], [], []
    with torch.no_grad():
        for part in rows.split(4):
            out, said = student(asked(part)), teacher(asked(part)).detach()
            text.append(nll(out, part[:, 1:], each=True))
            apart.append(kl(said, out, each=True))
            own.append(entropy_of(said))
    mean = [torch.cat(v).double().mean().item() for v in (text, apart, own)]
    return {"text": round(mean[0], 5), "distribution": round(mean[1] + mean[2], 5), "apart": round(mean[1], 5)}


def entropy_of(said: Lazy) -> Tensor:
    rows = said.rows()
    return torch.cat([entropy(rows.each(lambda h, i=i: h[i : i + 32]).dense()) for i in range(0, len(rows), 32)])


def sharpened(teacher: LM, nats: float, rows: Tensor) -> Sharper:
    """To that mean entropy on some rows."""
    low, high = 0.0, 64.0
    with torch.no_grad():
        said = teacher(asked(rows))
        for _ in range(14):
            middle = (low + high) / 2
            low, high = (middle, high) if entropy_of(middle * said).mean() > nats else (low, middle)
    return Sharper(teacher, high)


def gradient(student: LM, target: Any, rows: Tensor) -> Tensor:
    student.zero_grad()
    kl(target, student(asked(rows))).backward()
    return torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])


class Lines:
    """Of a result file, each under its own key; written as they come."""

    def __init__(self, out: Path | None) -> None:
        self.out = out
        self.all: dict[str, Any] = json.loads(out.read_text()) if out and out.exists() else {}

    def once(self, table: str, key: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        rows = self.all.setdefault(table, {}).setdefault("rows", [])
        for row in rows:
            if key.items() <= row.items():
                return row
        rows.append(key | make())
        print(json.dumps(rows[-1]), "load", round(os.getloadavg()[0], 1), flush=True)
        self.save()
        return rows[-1]

    def save(self) -> None:
        if self.out:
            tables = ",\n".join(f" {json.dumps(k)}: {lines(v)}" for k, v in self.all.items())
            self.out.write_text("{\n" + tables + "\n}\n")


def lines(table: dict[str, Any]) -> str:
    rest = "".join(f"  {json.dumps(k)}: {json.dumps(v)},\n" for k, v in table.items() if k != "rows")
    return "{\n" + rest + '  "rows": [\n' + ",\n".join(f"   {json.dumps(r)}" for r in table.get("rows", [])) + "\n  ]\n }"


Chosen = dict[str, list[tuple[str, int]]]


def prepared(args: argparse.Namespace) -> tuple[Size, Chosen, Texts, LM]:
    """The experiment of that vocabulary, its text, and a teacher that has read it."""
    size, chosen = (NARROW, MANY) if args.words <= 20_000 else (WIDE, FEW)
    size = dataclasses.replace(size, steps=(size.steps[0], args.steps or size.steps[1]))
    texts = Texts(args.words, size)
    with stream(0, "teacher"):
        reading = over_some(texts.read, texts.words, size.some) if size.some else hard
        read = functools.partial(learn, rows=texts.read, batch=size.reads[0], lr=3e-3, loss=reading)
        return size, chosen, texts, kept(args.keep, f"teacher-{texts.words}-0", llama(texts.words, size.teacher), read)


def frontier(args: argparse.Namespace, out: Lines) -> None:
    """One vocabulary: a soft and a sharp teacher, each in every encoding."""
    begun = time.process_time()
    size, chosen, texts, trained = prepared(args)
    name = f"frontier {texts.words}, {size.steps[1]} steps"
    table = out.all.setdefault(name, {"rows": []})
    table["what"] = (f"vocabulary {texts.words}; teacher {size.teacher} after {size.reads[1]} steps of {size.reads[0] * LENGTH} tokens, students {size.student}, "
                     f"{size.steps[1]} steps of {size.steps[0] * LENGTH}, one visit a row; {size.held * LENGTH} tokens held out. bytes: of the folder's shards (their book, "
                     f"{4 * texts.words / 1000:.0f} kB once a folder, left out; it is made of the first {size.shard} rows), "
                     "a token; gradient: error of the student's gradient over the exact one's length, of one batch, at the weights that the online student ends "
                     "with; text, distribution: held-out cross-entropy to the text and to what the teacher says, nats; apart: KL of the latter; "
                     "over: both cross-entropies over online distillation's, in %")  # fmt: skip
    table["environment"], table["command"] = about(), f"python benchmarks/store.py {shlex.join(args.given)}"
    plain: list[LM] = []
    before = table.get("cpu_seconds", 0)
    for kind in args.kinds or chosen:
        teacher = sharpened(trained, NATS[kind], texts.ask[:4]) if kind in NATS else Sharper(trained, 1.0)
        one_teacher(kind, teacher, texts, size, chosen[kind], plain, functools.partial(out.once, name), args)
        table["cpu_seconds"] = before + round(time.process_time() - begun)
        out.save()


def one_teacher(kind: str, teacher: Sharper, texts: Texts, size: Size, chosen: list[tuple[str, int]], plain: list[LM], once: Callable[..., Any],
                args: argparse.Namespace) -> None:  # fmt: skip
    """Online, on the text alone, and from a folder of each encoding. plain: the student of the text, once it is there."""

    def student(loss: Callable[[Lazy, Tensor], Tensor], name: str = "") -> LM:
        with stream(args.seed, "student"):
            train = functools.partial(learn, rows=texts.ask, batch=size.steps[0], lr=4e-3, loss=loss)
            return kept(
                args.keep if name else None,
                f"{name}-{texts.words}-{size.steps[1]}-{args.seed}",
                llama(texts.words, size.student),
                train,
            )

    @functools.cache
    def online() -> LM:
        return student(lambda s, rows: kl(teacher(asked(rows)), s), f"online-{kind}")

    def unaided() -> LM:
        plain.extend([] if plain else [student(hard, "hard")])
        return plain[0]

    def compared(made: LM) -> dict[str, Any]:
        found = judge(made, teacher, texts.held)
        return found | {"over": [round(100 * (found[k] / base[k] - 1), 3) for k in ("text", "distribution")]}

    def measured(way: str, number: int) -> dict[str, Any]:
        first = texts.ask[: size.steps[0]]
        with tempfile.TemporaryDirectory() as folder:
            label(teacher, map(asked, texts.ask.split(64)), folder, Encoding(way, number), shard=size.shard)
            stored = Recorded(folder, teacher)
            cost = json.loads((Path(folder) / "manifest.json").read_text())["bytes_a_place"]
            exact, off = (gradient(online(), t(asked(first)), first) for t in (teacher, stored))
            made = student(lambda s, rows: kl(stored(asked(rows)), s))
        return {"bytes": round(cost, 2), "gradient": round(((off - exact).norm() / exact.norm()).item(), 4)} | compared(made)

    with torch.no_grad():
        nats = round(entropy_of(teacher(asked(texts.held[:16]))).mean().item(), 3)
    key = {"teacher": kind, "seed": args.seed}
    base = once(key | {"kind": "online", "size": 0}, lambda: judge(online(), teacher, texts.held) | {"entropy": nats})
    itself = {"text_of_teacher": judge_text(teacher, texts.held)}
    if args.seed == 0:
        once(key | {"kind": "hard", "size": 0}, lambda: compared(unaided()) | itself)
    for way, number in chosen[: args.most]:
        once(key | {"kind": way, "size": number}, functools.partial(measured, way, number))


def sweep(args: argparse.Namespace, out: Lines) -> None:
    """Bytes and gradient error of every encoding, from a teacher who is sure to one who isn't."""
    size, chosen, texts, trained = prepared(args)
    first, last = texts.ask[:24], texts.ask[24:32]
    with stream(args.seed, "student"):
        student = kept(
            args.keep,
            f"online-{next(iter(chosen))}-{texts.words}-{size.steps[1]}-{args.seed}",
            llama(texts.words, size.student),
            lambda s: s,
        )
    table = out.all.setdefault(f"sweep {texts.words}", {"rows": []})
    table["what"] = (f"as in 'frontier {texts.words}, {size.steps[1]} steps', the teacher's logits multiplied until its mean entropy is so many nats: the student's relative gradient "
                     f"error on {len(last) * LENGTH} tokens, at the weights that it ends with online from the teacher as it is, and their bytes a token by a "
                     f"book that was made of {len(first) * LENGTH} others")  # fmt: skip
    table["environment"], table["command"] = about(), f"python benchmarks/store.py sweep --words {args.words}"
    for nats in (0.25, 0.5, 1.0, 2.0, 4.0, 6.0):
        teacher = sharpened(trained, nats, texts.ask[:4])

        def measured(way: str, number: int, teacher: Sharper = teacher) -> dict[str, float]:
            with tempfile.TemporaryDirectory() as folder:
                label(teacher, [asked(first), asked(last)], folder, Encoding(way, number), shard=len(first))
                told = json.loads((Path(folder) / "manifest.json").read_text())["shards"][1]
                exact, off = (gradient(student, t(asked(last)), last) for t in (teacher, Recorded(folder, teacher)))
            return {
                "bytes": round(told["bytes"] / told["places"], 2),
                "gradient": round(((off - exact).norm() / exact.norm()).item(), 4),
            }

        for way, number in (
            ("samples", 12),
            ("samples", 50),
            ("samples", 200),
            ("hybrid", 8),
            ("hybrid", 32),
            ("top-k", 8),
            ("top-k", 32),
            ("hidden", 0),
        ):
            out.once(
                f"sweep {texts.words}", {"entropy": nats, "kind": way, "size": number}, functools.partial(measured, way, number)
            )
    out.save()


def draw(args: argparse.Namespace, out: Lines) -> None:
    """docs/pictures/store.png: what is lost against bytes, and the gradient's error; means over seeds, a dot each behind them."""
    from matplotlib import pyplot as plt

    colours = {"samples": "tab:red", "hybrid": "tab:purple", "top-k": "tab:gray", "hidden": "tab:blue"}
    tables = {k: v["rows"] for k, v in out.all.items() if k.startswith("frontier")}
    nats = {(k, r["teacher"]): r["entropy"] for k, rows in tables.items() for r in rows if r["kind"] == "online"}
    panels = sorted(nats, key=lambda panel: (-int(panel[0].split()[1][:-1]), -nats[panel]))
    fig, axes = plt.subplots(2, len(panels), figsize=(2.7 * len(panels), 6.2), layout="constrained", sharex=True, sharey="row")
    for (name, kind), (above, below) in zip(panels, axes.T, strict=True):
        rows = [r for r in tables[name] if r["teacher"] == kind]
        for way, colour in colours.items():
            found: dict[int, list[dict[str, Any]]] = {}
            for r in rows:
                if r["kind"] == way:
                    found.setdefault(r["size"], []).append(r)
            mine = sorted(((size, *(statistics.mean(v) for v in zip(*((r["bytes"], r["over"][1], several[0]["gradient"]) for r in several), strict=True)))
                           for size, several in found.items()), key=lambda point: point[1])  # fmt: skip
            for ax, column in ((above, 2), (below, 3)):
                ax.plot([p[1] for p in mine], [p[column] for p in mine], "o-", color=colour, label=way, ms=5)
            above.plot(
                [r["bytes"] for v in found.values() for r in v],
                [r["over"][1] for v in found.values() for r in v],
                ".",
                color=colour,
                ms=3,
                alpha=0.5,
            )
            for p in mine if way != "hidden" else ():
                above.annotate(str(p[0]), (p[1], p[2]), textcoords="offset points", xytext=(5, 3), fontsize=7, color=colour)
        above.axhline(next(r for r in rows if r["kind"] == "hard")["over"][1], color="black", ls="--", lw=1, label="labels alone")
        for most, loss in ((100, 0.3), (30, 2.5)):
            above.plot(
                [4, most, most], [loss, loss, -1], color="tab:green", lw=1, ls=":", label="aimed at" if most == 30 else None
            )
        above.set_title(
            f"{int(name.split()[1][:-1]):,} words, {name.split()[2]} steps\nteacher of {nats[name, kind]:.1f} nats", fontsize=9
        )
        above.set_yscale("symlog", linthresh=1, linscale=1)
        above.set_yticks([-10, -1, 0, 1, 10, 100], ["-10", "-1", "0", "1", "10", "100"])
        below.set(xscale="log", yscale="log", xlabel="bytes a token")
        for ax in (above, below):
            ax.grid(alpha=0.25)
    axes[0, 0].set_ylabel("held-out cross-entropy to the teacher\nover online distillation's, %")
    axes[1, 0].set_ylabel("error of the student's gradient, relative")
    axes[0, 0].legend(fontsize=7)
    fig.savefig(Path(__file__).resolve().parents[1] / "docs" / "pictures" / "store.png", dpi=100)


def judge_text(net: nn.Module, rows: Tensor) -> float:
    with torch.no_grad():
        return round(
            torch.cat([nll(net(asked(part)), part[:, 1:], each=True) for part in rows.split(4)]).double().mean().item(), 5
        )


def about() -> dict[str, Any]:
    return {"torch": torch.__version__, "python": platform.python_version(), "threads": torch.get_num_threads()}


def step(args: argparse.Namespace, out: Lines) -> None:
    """Seconds of a student's step on 1,024 tokens with stored answers over those with labels alone, in turn, the order moved on each round."""
    words, rows = args.words, 8
    with tempfile.TemporaryDirectory() as folder, stream(0, "step"):
        teacher = Sharper(llama(words, (256, 4, 4)), 6.0)
        ids = torch.randint(words, (rows, LENGTH + 1))
        begun = {}
        for way, number in (("samples", 50), ("hybrid", 32), ("top-k", 64), ("hidden", 0)):
            label(teacher, [asked(ids)], Path(folder) / way, Encoding(way, number))
            begun[way] = Recorded(Path(folder) / way, teacher)
        student = llama(words, (64, 2, 4))
        opt = torch.optim.AdamW(student.parameters(), lr=1e-4)
        kinds: dict[str, Callable[[], Tensor]] = {"hard": lambda: hard(student(asked(ids)), ids)}
        kinds |= {way: lambda stored=stored: kl(stored(asked(ids)), student(asked(ids))) for way, stored in begun.items()}
        kinds["online"] = lambda: kl(teacher(asked(ids)), student(asked(ids)))
        seconds: dict[str, list[float]] = {k: [] for k in kinds}
        reading: dict[str, list[float]] = {k: [] for k in begun}
        names = list(kinds)
        for r in range(args.rounds + 1):
            for name in names[r % len(names) :] + names[: r % len(names)]:
                opt.zero_grad()
                start = time.process_time()
                kinds[name]().backward()
                opt.step()
                if r:
                    seconds[name].append(time.process_time() - start)
                if r and name in begun:
                    start = time.process_time()
                    begun[name](asked(ids))
                    reading[name].append(time.process_time() - start)
            print(r, {k: round(s[-1], 3) for k, s in seconds.items() if s}, "load", os.getloadavg()[0], flush=True)
    table = out.all["step"] = {"rows": [], "what": f"a student {(64, 2, 4)} on {rows * LENGTH} tokens of {words} words, float32: median seconds of one processor of a step, and over those of the "
                               "step with labels alone of the same round: lower quartile, median, upper quartile; reading: median ms of what the folder's answers take; "
                               f"online: a teacher {(256, 4, 4)}, whose size is nothing to the others", "environment": about(),
                               "command": f"python benchmarks/store.py step --words {words} --rounds {args.rounds}"}  # fmt: skip
    for name, s in seconds.items():
        ratio = sorted(a / b for a, b in zip(s, seconds["hard"], strict=True))
        table["rows"].append({"kind": name, "seconds": round(statistics.median(s), 4), "over_hard": [round(ratio[i], 3) for i in (len(ratio) // 4, len(ratio) // 2, -1 - len(ratio) // 4)]}
                             | ({"reading_ms": round(1000 * statistics.median(reading[name]), 2)} if name in reading else {}))  # fmt: skip
        print(table["rows"][-1], flush=True)
    out.save()


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("what", choices=("frontier", "sweep", "step", "draw"))
    ask.add_argument("--words", type=int, default=131_072)
    ask.add_argument("--seed", type=int, default=0, help="of the students")
    ask.add_argument("--rounds", type=int, default=9)
    ask.add_argument(
        "--keep", type=Path, help="a folder for the teacher and the online student, so that a run that was stopped goes on"
    )
    ask.add_argument("--steps", type=int, default=0, help="of the students, where it isn't the usual number")
    ask.add_argument("--kinds", type=lambda t: t.split(","), help="of teachers, where not all: soft,as it is,sharp")
    ask.add_argument("--most", type=int, default=99, help="encodings of a teacher at most")
    ask.add_argument("--out", type=Path)
    args = ask.parse_args()
    files = ("--keep", str(args.keep), "--out", str(args.out))
    args.given = [word for word in sys.argv[1:] if word not in files]
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    {"frontier": frontier, "sweep": sweep, "step": step, "draw": draw}[args.what](args, Lines(args.out))


if __name__ == "__main__":
    main()
