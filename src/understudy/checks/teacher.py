"""Does the teacher know something, in the language that the data speak?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from understudy.checks.finding import Bench, Finding, figure, percent
from understudy.checks.rows import part
from understudy.core.errors import Refused
from understudy.models.wrap import describe
from understudy.tasks import TASKS

GAIN = 0.2  # of accuracy or R2: what a wrong order of labels or a wrong normalisation costs at least
FAR = 1.0  # standard deviations between the rows at the first batch normalisation and what it was trained on
WIDE = 3.0  # times their deviation
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
FAILS = (RuntimeError, ValueError, TypeError, IndexError, AttributeError, KeyError)


def check(bench: Bench) -> Iterator[Finding]:
    """What is to be said of the teacher, and of the student beside it; ends early where its answers can't be read."""
    if bench.given is None:
        return
    yield mode(bench)
    yield size(bench)
    if bench.rows is None or bench.world.task not in TASKS:
        return
    said = answer(bench)
    yield from said[1]
    out = said[0]
    if out is None or not bench.trained:
        return
    causes = [order(bench, out), normalisation(bench, out)]
    yield from (f for f in causes if f is not None)
    if not any(f is not None and f.level == "error" for f in causes):
        yield chance(bench, out)
        yield beside(bench, out)


def mode(bench: Bench) -> Finding:
    """A teacher whose dropout is on and whose batch statistics move."""
    assert bench.given is not None
    if bench.trained and bench.given.training:
        return Finding("warning", "teacher-mode", "the teacher was handed over in train mode; it is used in eval mode (dropout off, batch statistics fixed): "
                       "call teacher.eval() and look at its score again")  # fmt: skip
    return Finding("ok", "teacher-mode", "the teacher is in eval mode" if bench.trained else "the teacher is trained first")


def size(bench: Bench) -> Finding:
    """A student that is bigger than who it learns from."""
    assert bench.given is not None
    teacher, student = describe(bench.given).parameters, describe(bench.student).parameters
    if teacher and student > teacher:
        return Finding(
            "warning",
            "size",
            f"the student has {student:,} parameters, more than the teacher's {teacher:,}: swap them, or choose a smaller student",
        )
    return Finding("ok", "size", f"{student:,} parameters learn from {teacher:,}")


def answer(bench: Bench) -> tuple[Tensor | None, list[Finding]]:
    """Answers of both as [N, C] of finite numbers, as many as the data have classes."""
    outs: dict[str, Tensor] = {}
    assert bench.teacher is not None
    for who, net in (("teacher", bench.teacher), ("student", bench.student)):
        try:
            outs[who] = bench.says(net)
        except Refused as e:
            if who == "teacher" and "stored" in str(e):
                return None, [
                    Finding(
                        "ok", "answers", "a stored teacher that knows training rows only: its answers to others aren't judged"
                    )
                ]
            return None, [Finding("error", "answers", f"the {who} can't answer the validation rows: {e}")]
        except FAILS as e:
            return None, [
                Finding(
                    "error", "answers", f"the {who} can't answer the validation rows ({type(e).__name__}: {_line(e)}){_wrap(e)}"
                )
            ]
        if outs[who].dim() != 2 or (bench.rows is not None and len(outs[who]) != len(bench.rows[1])):
            return None, [
                Finding(
                    "error",
                    "answers",
                    f"the {who} answers {list(outs[who].shape)}, not [rows, classes]: hand over logits over classes, one row each",
                )
            ]
        bad = int((~outs[who].isfinite().all(1)).sum())
        if bad:
            return None, [
                Finding(
                    "error",
                    "answers",
                    f"the {who} answers NaN or infinity for {bad} of {len(outs[who])} validation rows: look at its weights and its input's scale",
                )
            ]
    counted = count(bench, {who: out.shape[1] for who, out in outs.items()})
    return (None if counted.level == "error" else outs["teacher"]), [
        Finding("ok", "answers", "both answer with finite numbers"),
        counted,
    ]


def _line(e: Exception) -> str:
    return (str(e).strip().splitlines() or [""])[0]


def _wrap(e: Exception) -> str:
    return ": wrap a Hugging Face model as understudy.models.HF(model)" if isinstance(e, AttributeError) else ""


def count(bench: Bench, widths: dict[str, int]) -> Finding:
    """As many answers as classes."""
    classes = len(getattr(bench.data, "classes", ()) or ())
    if not classes and bench.world.task == "regress" and bench.splits is not None:
        classes = bench.splits.train.y[:1].numel()
    if (
        not classes
        and bench.world.task == "classify"
        and bench.splits is not None
        and min(widths.values()) <= int(bench.splits.train.y.max())
    ):
        classes = int(bench.splits.train.y.max()) + 1
    said = {**({"data": classes} if classes else {}), **widths}
    if len(set(said.values())) == 1:
        return Finding("ok", "class-count", f"{' and '.join(said)} agree on {said['teacher']} answers a row")
    return Finding(
        "error",
        "class-count",
        f"{', '.join(f'{who}: {n}' for who, n in said.items())} classes: give the teacher or the student a head of the data's classes",
    )


def order(bench: Bench, out: Tensor) -> Finding | None:
    """Labels in another order: by name where the teacher states one, else a permutation, found on half of the rows, that mends the other half."""
    if bench.world.task != "classify" or bench.rows is None or bench.given is None:
        return None
    names, classes = stated(bench.given), tuple(getattr(bench.data, "classes", ()) or ())
    if names and classes and names != classes and set(names) == set(classes):
        wrong = next(i for i, (a, b) in enumerate(zip(names, classes)) if a != b)
        return Finding("error", "label-order", f"the teacher states its labels in another order than the data: its answer {wrong} is '{names[wrong]}', the data's is "
                       f"'{classes[wrong]}': reorder its head, or the labels of the rows")  # fmt: skip
    y = bench.rows[1]
    known = (y >= 0).nonzero().flatten()
    if len(known) < 20:
        return None
    from scipy.optimize import linear_sum_assignment

    said, true, width = out.argmax(1)[known], y[known], out.shape[1]
    table = torch.zeros(width, width, dtype=torch.long)
    table.index_put_((said[::2], true[::2]), torch.ones(len(true[::2]), dtype=torch.long), accumulate=True)
    mend = torch.as_tensor(linear_sum_assignment(table.numpy(), maximize=True)[1])
    now, then = ((s == true[1::2]).double().mean().item() for s in (said[1::2], mend[said[1::2]]))
    if then - now > max(GAIN, 3 * math.sqrt(0.5 / len(true[1::2]))):
        moved = int((mend != torch.arange(width)).sum())
        return Finding("error", "label-order", f"labels look permuted: the teacher's accuracy is {percent(now)} on validation rows as its answers are numbered, and "
                       f"{percent(then)} with {moved} of them renumbered: put its head into the data's order {list(classes[:5]) or ''}".rstrip())  # fmt: skip
    return Finding("ok", "label-order", "no other order of labels fits the teacher better")


def stated(net: nn.Module) -> tuple[str, ...] | None:
    """The label order that a Hugging Face configuration states, unless it only counts."""
    for core in (net, getattr(net, "inner", None)):
        names = getattr(getattr(core, "config", None), "id2label", None)
        if isinstance(names, dict) and names:
            listed = tuple(str(names[k]) for k in sorted(names))
            return None if all(n == f"LABEL_{i}" for i, n in enumerate(listed)) else listed
    return None


def normalisation(bench: Bench, out: Tensor) -> Finding | None:
    """Inputs on another scale than the teacher was trained on."""
    x = bench.inputs
    if x is None or x.dim() < 2 or bench.given is None:
        return None
    now, view = bench.score(out), bench.world.views.get("teacher")
    best, name, mean, std = now, "", torch.zeros(1), torch.ones(1)
    for label, m, s in scales(bench, x):
        try:
            score = bench.score(_answers(bench.given, (x - _channel(m, x)) / _channel(s, x)))
        except FAILS:
            continue
        if score > best:
            best, name, mean, std = score, label, m, s
    far, wide = statistics(bench)
    beside = (
        f"; rows come {far:.1f} standard deviations from its first batch normalisation's mean, spread {wide:.1f} times apart"
        if far is not None
        else ""
    )
    rows = len(x)
    if best - now > max(GAIN, 3 * math.sqrt(0.5 / rows)):
        return Finding("error", "normalisation", f"the teacher's {figure(bench, now)} rises to {figure(bench, best).split(' ', 1)[1]} when its input is {name}"
                       f"{beside}: {'change its view' if view else 'wrap it'}, nn.Sequential(understudy.models.Normalise({_list(mean)}, {_list(std)}), net)")  # fmt: skip
    if far is not None and wide is not None and (far > FAR or wide > WIDE):
        return Finding("warning", "normalisation", f"rows come to the teacher's first batch normalisation {far:.1f} standard deviations from its running mean, spread "
                       f"{wide:.1f} times apart from its running deviation: give it the rows normalised as in its training")  # fmt: skip
    return Finding(
        "ok",
        "normalisation",
        "no other scale of the input fits the teacher better"
        + (f" ({far:.2f} deviations from its statistics)" if far is not None else ""),
    )


def _answers(net: nn.Module, x: Tensor) -> Tensor:
    from understudy.core.method import freeze
    from understudy.worlds.rows import answers

    return answers(freeze(net), x)


def _channel(value: Tensor, x: Tensor) -> Tensor:
    return value.to(x).view(1, -1, *[1] * (x.dim() - 2))


def _list(value: Tensor) -> list[float]:
    return [float(f"{v:.4g}") for v in value.tolist()]


def scales(bench: Bench, x: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(name, mean, std): other ways of feeding rows as they come, (x - mean) / std."""
    one, zero = torch.ones(1), torch.zeros(1)
    mean, std = getattr(bench.data, "mean", None), getattr(bench.data, "std", None)
    picture = x.dim() == 4
    yield "left as it is", zero, one
    if picture and mean is not None and std is not None:
        yield "standardised", mean, std
    else:
        sample = part(bench.splits, "train").x if bench.splits is not None else x
        sample = sample if isinstance(sample, Tensor) and sample.shape[1:] == x.shape[1:] else x
        dims = [d for d in range(sample.dim()) if d != 1]
        m, s = sample[:4096].mean(dims), sample[:4096].std(dims, correction=0)
        yield "standardised", m, torch.where(s > 0, s, 1.0)
    if not picture and x.dim() == 2 and mean is not None and std is not None and len(mean) == x.shape[1]:
        yield "in the columns' own units", -mean / std, 1 / std
    yield "multiplied by 255", zero, one / 255
    yield "divided by 255", zero, one * 255
    yield "brought from [0, 1] to [-1, 1]", one / 2, one / 2
    if picture and x.shape[1] == 3:
        yield "normalised as ImageNet's", torch.tensor(IMAGENET[0]), torch.tensor(IMAGENET[1])


def statistics(bench: Bench) -> tuple[float | None, float | None]:
    """Between the rows at the first batch normalisation and its running statistics: the distance of the means in running
    deviations, and the ratio of the deviations (1 or more), each the median over channels."""
    assert bench.teacher is not None
    found: list[tuple[Any, Tensor]] = []

    def note(module: Any, args: tuple[Any, ...]) -> None:
        if not found or found[0][0] is module:
            found.append((module, args[0].detach().float().cpu()))

    norms = [m for m in bench.teacher.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.running_mean is not None]
    handles = [m.register_forward_pre_hook(note) for m in norms]
    try:
        bench.says(bench.teacher)
    finally:
        for h in handles:
            h.remove()
    if not found:
        return None, None
    x = torch.cat([t for _, t in found]).transpose(0, 1).flatten(1)
    mean, var = found[0][0].running_mean.float().cpu(), found[0][0].running_var.float().cpu()
    deviation = var.clamp(min=1e-12).sqrt()
    far = ((x.mean(1) - mean).abs() / deviation).median().item()
    wide = (x.std(1, correction=0).clamp(min=1e-12) / deviation).log().abs().median().exp().item()
    return far, wide


def chance(bench: Bench, out: Tensor) -> Finding:
    """No better than an answer that doesn't look at the row."""
    assert bench.rows is not None
    y, got = bench.rows[1], bench.score(out)
    luck, noise = 0.0, 0.0
    if bench.world.task == "classify":
        known = y[y >= 0]
        luck = torch.bincount(known).max().item() / len(known) if len(known) else 0.0
        noise = 2 * math.sqrt(luck * (1 - luck) / max(len(known), 1))
    elif bench.world.task == "multilabel":
        shares = y[y.isfinite().all(1)].double().mean(0).sort(descending=True).values
        luck = float((2 * shares.cumsum(0) / (torch.arange(1, len(shares) + 1) + shares.sum())).max())
    said = f"the teacher's {figure(bench, got)} on validation rows, where an answer that doesn't look at the row gets {figure(bench, luck).split(' ', 1)[1]}"
    mend = "train it first, or look at its labels and its input"
    if got <= luck:
        return Finding("error", "teacher", f"{said}: {mend}")
    if got <= luck + noise:
        return Finding("warning", "teacher", f"{said}, which chance alone explains: {mend}")
    return Finding("ok", "teacher", said)


def beside(bench: Bench, out: Tensor) -> Finding:
    """Worse than the student that is to learn from it."""
    teacher, student = bench.score(out), bench.score(bench.says(bench.student))
    if student > teacher:
        return Finding("warning", "teacher-student", f"the student begins with {figure(bench, student)} on validation rows and the teacher has {figure(bench, teacher).split(' ', 1)[1]}: "
                       "swap them, or find a better teacher")  # fmt: skip
    return Finding("ok", "teacher-student", f"the student begins with {figure(bench, student)}, below the teacher")
