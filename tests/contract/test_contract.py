"""What every method must satisfy. One file, parametrised over the registry: a new method is tested by existing.

The checks that a method gets are chosen by the tags of its card. The rows are few and the steps are few; everything is counted, nothing
is timed. `test_the_checks_bite.py` keeps one planted fault for each check.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import copy
import dataclasses
import inspect
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from understudy.core import checkpoint, registry, seal
from understudy.core.batch import Batch, Views, each
from understudy.core.card import Card
from understudy.core.errors import Refused, Sealed
from understudy.core.fit import backward, fit, turns
from understudy.core.method import Method
from understudy.core.run import Run, artefact, parameters, start
from understudy.core.seeds import stream
from understudy.core.world import World, recast
from understudy.methods import compose
from understudy.prove import Placebo
from understudy.tasks import TASKS, task
from understudy.teachers import Encoding, Recorded, label
from understudy.worlds import WORLDS
from understudy.worlds.digits import Net, Part
from understudy.worlds.rows import Rows

HERE = Path(__file__).parent
STEPS = 24  # the budget that progress is measured by; hardly a check trains as long
ROWS, BATCH = 64, 8  # an epoch is 8 steps
SLUGS = frozenset((HERE / "slugs.txt").read_text().split())
IMPORTS = ("torch", "math", "copy", "functools", "understudy.core", "understudy.parts")
FORBIDDEN = {
    "backward": "the core learns", "zero_grad": "the core learns", "opts": "players say how a network moves", "cuda": "the core knows the device",
    "cpu": "the core knows the device", "save": "the core saves", "load": "the core saves", "manual_seed": "chance comes from the step's stream",
    "Generator": "chance comes from the step's stream", "validate": "a method doesn't judge itself",
    "score": "a method doesn't judge itself", "judge": "a method doesn't judge itself", "test": "no method sees the test split",
    "_test": "no method sees the test split", "data": "rows come from run.rows() and world.sweep()", "numpy": "tensors stay tensors",
    "register_forward_hook": "run.tap reads inside", "register_forward_pre_hook": "run.tap reads inside",
}  # fmt: skip


def _card(name: str) -> Card:
    """As its file says it; a file that can't be read fails its own checks and hides nobody else's."""
    try:
        args, named, _ = registry.header(registry.files()[name])
        return Card(*args, **named)
    except Exception:
        return Card(f"{name}: unreadable", "doi:none", 2000)


NAMES = sorted(registry.files())
CARDS = {name: _card(name) for name in NAMES}
DIGITS = [n for n in NAMES if CARDS[n].world == "digits"]


def of(names: list[str]) -> Any:
    return pytest.mark.parametrize("name", names)


def tagged(*tags: str) -> Any:
    return of([n for n in NAMES if frozenset(tags) <= frozenset(CARDS[n].tags)])


every = of(NAMES)


@pytest.fixture(autouse=True)
def _double(double: None) -> None:
    """Bits are compared in float64; what is about overflow asks for float32 itself."""


def asked_for(request: pytest.FixtureRequest) -> list[str]:
    """The methods that this session has checks for."""
    named = {
        i.callspec.params.get("name") for i in request.session.items if isinstance(i, pytest.Function) and hasattr(i, "callspec")
    }
    return [n for n in NAMES if n in named]


@pytest.fixture(autouse=True, scope="session")
def _awake(request: pytest.FixtureRequest) -> None:
    """The libraries that worlds stand on are imported before the first check, and not on its account."""
    for name in {CARDS[n].world: n for n in ["alone", *asked_for(request)]}.values():
        place(name).validate(artefact(fresh(name)))


# ------------------------------------------------------------------------------------------------------------- small worlds


def small(world: str, **how: Any) -> World:
    """A world with little of everything, whose test split is sealed at all times, not only in fit."""
    return recast(WORLDS[world](0, small=True, **how), steps=STEPS, batch=BATCH)


def place(name: str, **changes: Any) -> World:
    return recast(small(CARDS[name].world), **changes)


def edited(world: World, edit: Callable[[Batch], Batch]) -> World:
    """The same world whose rows went through `edit`."""
    return recast(world, rows=lambda step, split="train": edit(world.rows(step, split)), sweep=lambda: map(edit, world.sweep()))


def labelled(world: World, relabel: Callable[[Any], Any]) -> World:
    """With other labels, where there are labels."""
    return edited(world, lambda b: Batch({**b, "y": relabel(b.y)} if "y" in b else b))


def hide(which: Any) -> Callable[[World], World]:
    return lambda world: labelled(world, lambda y: task(world.task).hide(y, which))


def alike(y: Any) -> Any:
    """The same label everywhere; what is hidden stays so, and what isn't one label a place stays as it is."""
    if not isinstance(y, Tensor):
        return y
    return torch.where(y != y, y, 1.0) if y.is_floating_point() else torch.where(y < 0, y, 1)


def hooked(world: World, hook: Callable[[str, nn.Module], nn.Module]) -> World:
    """The same world whose student and teacher were handed to `hook` first; copies made of them carry its hooks along."""

    def teacher() -> nn.Module | None:
        made = world.teacher()
        return made and hook("teacher", copy.deepcopy(made))

    return recast(world, student=lambda: hook("student", world.student()), teacher=teacher)


def loud(world: World) -> World:
    """Student and teacher sure of opposite things, with logits up to 1e4."""

    def to(size: float) -> Callable[..., Any]:
        def louder(t: Tensor) -> Tensor:
            return t * (size / t.detach().abs().max().clamp(min=1e-6)) if t.is_floating_point() else t

        return lambda _m, _x, out: each(out, louder)

    def hook(name: str, net: nn.Module) -> nn.Module:
        net.register_forward_hook(to(1e4 if name == "student" else -1e4))
        return net

    return hooked(world, hook)


# ------------------------------------------------------------------------------------------------------------------ helpers


def made(name: str, **config: Any) -> Method:
    return registry.get(name)(**config)


def fresh(name: str, seed: int = 1, *, method: Method | None = None, precision: str = "no", **changes: Any) -> Run:
    return start(method or made(name), place(name, **changes), seed, device="cpu", precision=precision)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for k, v in value.items():
            yield from leaves(v, f"{path}/{k}")
    elif isinstance(value, (list, tuple)):
        for i, v in enumerate(value):
            yield from leaves(v, f"{path}/{i}")
    else:
        yield path, value


def differing(a: Any, b: Any) -> list[str]:
    """Paths at which two nested values aren't the same bits."""
    one, two = dict(leaves(a)), dict(leaves(b))

    def same(x: Any, y: Any) -> bool:
        if isinstance(x, Tensor) and isinstance(y, Tensor):
            return x.dtype == y.dtype and x.shape == y.shape and bool(((x == y) | ((x != x) & (y != y))).all())
        return type(x) is type(y) and x == y

    return sorted(one.keys() ^ two.keys()) + [k for k in one.keys() & two.keys() if not same(one[k], two[k])]


def bits(run: Run) -> dict[str, Any]:
    """A copy of all that a run is, optimisers included."""
    return copy.deepcopy(checkpoint.state(run))


def nets(run: Run) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in run.nets.state_dict().items()}


def look(run: Run) -> dict[str, dict[str, Tensor]]:
    """The terms of this step, in this step's stream."""
    with stream(run.seed, run.step):
        return turns(run)[1]


def look_at(run: Run) -> Batch:
    """The batch of this step, in this step's stream."""
    with stream(run.seed, run.step), torch.no_grad():
        return run.method.source(run)


def gradient(run: Run) -> Tensor:
    """What this step would do to everybody, as one vector."""
    with stream(run.seed, run.step):
        _, terms = turns(run)
        backward(run, terms)
    return torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten().clone() for k in run.opts for p in parameters(run, k)]
    )


def soft(terms: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{player}/{k}": v for player, own in terms.items() for k, v in own.items() if k != "hard"}


def sane(run: Run, steps: int = 2) -> None:
    """Some steps whose terms are finite named scalars, and that leave finite weights."""

    def watch(run: Run, _batch: Batch, terms: dict[str, dict[str, Tensor]]) -> None:
        assert terms and terms.keys() <= run.opts.keys(), f"terms of {sorted(terms)}, players {sorted(run.opts)}"
        for own in terms.values():
            assert own, "a player's turn without a term"
            for k, v in own.items():
                assert isinstance(k, str) and re.fullmatch(r"[a-z][a-z0-9_.]*", k), f"a term called {k!r}"
                assert isinstance(v, Tensor) and v.ndim == 0 and v.is_floating_point() and v.isfinite(), f"{k} = {v}"

    fit(run, run.step + steps, watch=watch)
    for k, v in run.nets.state_dict().items():
        assert v.isfinite().all(), f"{k} isn't finite after {steps} steps"


def draws(name: str, world: World) -> bool:
    """Does a step of this method draw from the random stream?"""
    run = start(made(name), world, 1, device="cpu")
    with stream(1, 0):
        before = torch.get_rng_state()
        turns(run)
        return not torch.equal(before, torch.get_rng_state())


def source_text(name: str) -> str:
    return registry.files()[name].read_text()


# -------------------------------------------------------------------------------------------------------- the file and the card


@every
def test_card_is_complete(name: str) -> None:
    cls, c = registry.get(name), registry.get(name).card
    assert (
        c.title.strip()
        and set(c.tasks) <= TASKS.keys()
        and re.fullmatch(r"arXiv:\d{4}\.\d{4,5}|arXiv:[a-z-]+/\d{7}|doi:10\.\d{4,}/\S+", c.paper)
    ), c.paper
    assert 1980 <= c.year <= 2030 and c.world in WORLDS and 1 <= c.forwards <= 64
    assert not c.slug or c.slug in SLUGS, f"no seed row is called '{c.slug}'"
    assert ("teacher" in c.tags) >= bool({"matching", "rows"} & set(c.tags)), "'matching' and 'rows' are about a teacher"
    if c.baseline is None:
        assert "teacher" not in c.tags and c.forwards == 1, "only what has nothing below it has no baseline"
    elif isinstance(c.baseline, str):
        assert c.baseline in NAMES and c.baseline != name, f"no method is called '{c.baseline}'"
    else:
        off = dataclasses.replace(cls(), **c.baseline)
        assert off != cls()
    assert len(c.tune) <= 1, "one field is tuned"
    for field, values in c.tune.items():
        assert 2 <= len(values) <= 4 and len({dataclasses.replace(cls(), **{field: v}) for v in values}) == len(values)
        assert getattr(cls(), field) in values, f"the default of '{field}' is one of those tried"


@every
def test_baseline_values_change_what_is_learned(name: str) -> None:
    baseline = CARDS[name].baseline
    if isinstance(baseline, dict):
        a, b = fresh(name), fresh(name, method=made(name, **baseline))
        while not differing(nets(a), nets(b)) and a.step < STEPS:
            fit(a, a.step + 1)
            fit(b, b.step + 1)
        assert differing(nets(a), nets(b)), f"{baseline} learns the same as the method itself"


@every
def test_card_reads_the_same_without_importing(name: str) -> None:
    path, cls = registry.files()[name], registry.get(name)
    args, named, idea = registry.header(path)
    assert Card(*args, **named) == cls.card and path.parent.name == cls.__module__.split(".")[-2]
    assert cls.name == name == Path(inspect.getfile(cls)).stem.replace("_", "-")
    assert idea.rstrip().endswith((".", ":")), "the docstring begins with the idea, a whole sentence"


@every
def test_file_is_small_and_leans_only_on_the_core(name: str) -> None:
    text = source_text(name)
    lines = text.splitlines()
    assert 20 <= len(lines) <= 120, f"{len(lines)} lines"
    assert max(map(len, lines)) <= 130
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else ["." * node.level + (node.module or "")]
            for m in modules:
                assert any(m == i or m.startswith(i + ".") for i in IMPORTS), f"import of {m}"
        if isinstance(node, ast.Attribute):
            assert node.attr not in FORBIDDEN, f"line {node.lineno}: .{node.attr}: {FORBIDDEN[node.attr]}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in {"step", "seed"}, (
                f"line {node.lineno}: the core moves, and seeds"
            )  # run.step, run.seed are values
        if isinstance(node, ast.Name):
            assert node.id not in {"open", "print", "eval", "exec", "globals", "setattr", "__import__"}, (
                f"line {node.lineno}: {node.id}"
            )
        if isinstance(node, (ast.FunctionDef, ast.Lambda)):
            assert node.args.kwarg is None, f"line {node.lineno}: **{node.args.kwarg and node.args.kwarg.arg}"
        assert not isinstance(node, (ast.Global, ast.Nonlocal)), "memory lives in the networks"


@every
def test_docstring_says_idea_equation_and_shapes(name: str) -> None:
    tree = ast.parse(source_text(name))
    assert re.search(r"\(.*\b(?:19|20)\d\d\b.*\)", ast.get_docstring(tree) or "", re.S), (
        "the module says whose paper it is, and when"
    )
    doc = inspect.getdoc(registry.get(name)) or ""
    assert re.search(r"^ {4,}\S.*=.*\S", doc, re.M), "an equation, indented, with ="
    assert re.search(r"^Shapes: \S", doc, re.M) and re.search(r"\[[A-Z]", doc.split("Shapes:")[1]), "`Shapes:` with [N, ...]"


@every
def test_configuration_survives_json_and_refuses_by_name(name: str) -> None:
    m = made(name)
    assert registry.build(json.loads(json.dumps(m.config()))) == m and m.config()["name"] == name
    with pytest.raises(Refused, match=re.escape(f"{name}.nonsense")):
        registry.build(m.config() | {"nonsense": 1})
    for f in dataclasses.fields(m):
        where, meta = re.escape(f"{name}.{f.name}"), f.metadata
        bad: list[Any] = [None, [], {}]
        if "span" in meta:
            lo, hi = meta["span"]
            assert type(f.default) in (int, float), f"{where}: the default {f.default!r} isn't a number"
            bad += [lo - 1, hi * 2 + 1, float("nan"), float("inf"), True, "1", (1.0,)] + (
                [f.default + 0.5] if isinstance(f.default, int) else []
            )
            for edge in (lo, hi):
                other = dataclasses.replace(m, **{f.name: type(f.default)(edge)})
                assert registry.build(json.loads(json.dumps(other.config()))) == other
        elif "choice" in meta:
            bad += ["nonsense", 1]
        elif "at" in meta:
            bad += [3, (1, 2)]
        else:
            pytest.fail(f"{name}.{f.name} says no range: span, choice or at")
        for value in bad:
            with pytest.raises(Refused, match=where):
                dataclasses.replace(m, **{f.name: value})


# ------------------------------------------------------------------------------------------------------------ terms on hard cases

CASES: dict[str, Callable[[World], World]] = {
    "as they are": lambda w: w,
    "one row": lambda w: recast(w, batch=1),
    "rows of one class": lambda w: labelled(w, alike),
    "half the labels hidden": hide(slice(None, None, 2)),
    "all labels hidden": hide(slice(None)),
    "logits of 1e4": loud,
    "logits of 1e4, one class": lambda w: loud(labelled(w, alike)),
}


@pytest.mark.parametrize("case", CASES)
@every
def test_terms_are_finite(name: str, case: str) -> None:
    torch.set_default_dtype(torch.float)
    sane(start(made(name), CASES[case](place(name)), 1, device="cpu"))


@pytest.mark.parametrize("case", ["as they are", "logits of 1e4"])
@every
def test_terms_are_finite_in_bf16(name: str, case: str) -> None:
    torch.set_default_dtype(torch.float)
    sane(start(made(name), CASES[case](place(name)), 1, device="cpu", precision="bf16"))


@of(DIGITS)
def test_terms_are_finite_for_two_classes(name: str) -> None:
    torch.set_default_dtype(torch.float)
    sane(start(made(name), small("digits-parity"), 1, device="cpu"))
    sane(start(made(name), loud(small("digits-parity")), 1, device="cpu"))


@every
def test_terms_are_finite_at_the_ends_of_every_span(name: str) -> None:
    """What is allowed works. Whole numbers are sizes and counts, which cost memory: their upper end is tried at most at twice the default."""
    torch.set_default_dtype(torch.float)
    for f in dataclasses.fields(made(name)):
        lo, hi = f.metadata.get("span", (None, None))
        ends = () if lo is None else (lo, min(hi, 2 * f.default) if isinstance(f.default, int) else float(hi))
        for value in (*ends, *f.metadata.get("choice", ())):
            try:
                method = made(name, **{f.name: value})
            except Refused:  # by a rule between two fields: a span never refuses its own ends
                continue
            try:
                sane(fresh(name, method=method), 1)
            except (Refused, AssertionError) as e:
                pytest.fail(f"{name}({f.name}={value!r}) is allowed and doesn't work: {e}")


@of([n for n in DIGITS if "classes" not in CARDS[n].tags])
@pytest.mark.parametrize("task", ["multilabel", "regress"])
def test_other_tasks_than_classes(name: str, task: str) -> None:
    """Who isn't tagged 'classes' learns from teachers of any task, with hidden labels too."""
    world = place(name)
    data = world.data
    turn = (lambda y: torch.nn.functional.one_hot(y, 10).double()) if task == "multilabel" else (lambda y: y.double())
    data.train, data.valid = (Part(p.x, turn(p.y)) for p in (data.train, data.valid))
    width = 10 if task == "multilabel" else 1
    world = recast(world, task=task, new_student=lambda: Net(3, 4, 8, width), given_teacher=Net(8, 8, 16, width))
    run = start(made(name), world, 1, device="cpu")
    sane(run)
    assert isinstance(run.judge(), float)
    sane(start(made(name), hide(slice(None, None, 2))(world), 1, device="cpu"))


@of([n for n in DIGITS if "classes" in CARDS[n].tags])
def test_other_tasks_are_refused_by_who_needs_classes(name: str) -> None:
    with pytest.raises(Refused, match=name):
        fresh(name, task="regress")


@of([n for n in NAMES if CARDS[n].tasks])
def test_other_tasks_are_refused_by_who_is_for_some(name: str) -> None:
    assert CARDS[name].tasks == tuple(t for t in CARDS[name].tasks if t in TASKS), f"unknown tasks in {CARDS[name].tasks}"
    assert WORLDS[CARDS[name].world](0, small=True).task in CARDS[name].tasks
    with pytest.raises(Refused, match=f"{name}.*is for"):
        fresh(name, task="juggle")


@of([n for n in NAMES if "labels" not in CARDS[n].tags])
def test_hidden_labels_change_only_the_hard_term(name: str) -> None:
    """Without the tag 'labels' the other terms don't look at a label."""
    world = place(name)
    a, b = (soft(look(start(made(name), w, 1, device="cpu"))) for w in (world, CASES["all labels hidden"](world)))
    assert not differing(a, b), f"{differing(a, b)} read labels: tag it 'labels'"


@of([n for n in DIGITS if "labels" in CARDS[n].tags and "batch" not in CARDS[n].tags])
def test_hidden_labels_leave_their_rows_out(name: str) -> None:
    """Each term either reads no labels, or gives for half of them what the visible half alone gives, as a mean over it or over all
    rows: -1 is no class. What is known beforehand (`sweep`) is labelled either way."""
    world = small("digits", norm=False)
    if draws(name, world):
        return  # the stream is spent otherwise on half the rows
    rows = [0, 3, 4, 6]
    hidden = hide([i for i in range(BATCH) if i not in rows])(world)
    half = recast(world, rows=hidden.rows)
    only = recast(world, rows=edited(world, lambda b: Batch({k: v[rows] for k, v in b.items()})).rows)
    runs = [start(made(name), world, 1, device="cpu") for _ in range(3)]  # networks built alike
    for run, its in zip(runs, (world, half, only), strict=True):
        run.world = its
    whole, some, seen = (soft(look(run)) for run in runs)
    assert any(differing(whole[k], some[k]) for k in whole), "no term reads labels: leave the tag 'labels' out"
    for k in whole:
        if differing(whole[k], some[k]):
            share = (some[k] / seen[k]).item()
            assert min(abs(share - 1), abs(share - len(rows) / BATCH)) < 1e-9, (
                f"{k} is {share:.6f} of what its labelled rows give"
            )


# ------------------------------------------------------------------------------------------------------------ who learns, who rests


@every
def test_every_player_gets_its_turn_and_every_parameter_a_gradient(name: str) -> None:
    """Within the budget. A gradient that is rarely other than zero (a dead unit, a phase) is waited for over more rows."""
    run = fresh(name)
    owned = [id(p) for k in run.opts for p in parameters(run, k)]
    assert len(owned) == len(set(owned)), "two players move one parameter"
    assert set(owned) == {id(p) for p in run.nets.parameters() if p.requires_grad}
    waiting = {n: p for n, p in run.nets.named_parameters() if p.requires_grad}
    players = set(run.opts)
    while (waiting or players) and run.step < STEPS:
        fit(run, run.step + 1, watch=lambda _r, _b, terms: players.difference_update(terms))
        for n, p in list(waiting.items()):
            if p.grad is not None:
                assert p.grad.isfinite().all(), f"gradient of {n} at step {run.step}"
                if p.grad.any():
                    del waiting[n]
    assert not players, f"{sorted(players)} never had a turn in {STEPS} steps"
    assert not waiting, f"no gradient but 0 in {STEPS} steps: {sorted(waiting)}"


@every
def test_who_rests_stays_as_it_is_and_who_acts_moves(name: str) -> None:
    run = fresh(name)
    for _ in range(6):
        before = {k: [p.detach().clone() for p in parameters(run, k)] for k in run.opts}
        acted: set[str] = set()
        fit(run, run.step + 1, watch=lambda _r, _b, terms, acted=acted: acted.update(terms))
        for k in run.opts:
            still = all(map(torch.equal, before[k], parameters(run, k)))
            assert still == (k not in acted), f"'{k}' {'acted and stayed' if still else 'rested and moved'} at step {run.step}"


@tagged("teacher")
def test_frozen_teacher_is_never_touched(name: str) -> None:
    if "self" in CARDS[name].tags:
        return
    world = place(name)
    given = world.teacher()
    assert given is not None
    given.train()  # the user forgot
    original = copy.deepcopy(given.state_dict())
    run = start(made(name), world, 1, device="cpu")
    assert "teacher" not in run.players or "game" in CARDS[name].tags
    if "teacher" not in run.players:
        before = copy.deepcopy(run.nets["teacher"].state_dict())
        fit(run, 5)
        assert not differing(before, dict(run.nets["teacher"].state_dict())), "the frozen teacher learned"
        assert not any(m.training for m in run.nets["teacher"].modules()), "the frozen teacher is in training mode"
        assert not any(p.requires_grad or p.grad is not None for p in run.nets["teacher"].parameters())
    assert not differing(original, dict(given.state_dict())) and given.training, "the user's own teacher was changed"
    assert all(p.requires_grad for p in given.parameters()) and not any(
        m._forward_hooks or m._forward_pre_hooks for m in given.modules()
    )


@every
def test_student_stays_in_training_mode(name: str) -> None:
    """Also after it was judged, and no hook stays behind."""
    run = fresh(name)
    modes = {n: m.training for n, m in run.nets.named_modules()}
    hooks = lambda: sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in run.nets.modules())
    before = hooks()
    fit(run, 3, after=lambda run: run.judge())
    assert {n: m.training for n, m in run.nets.named_modules()} == modes and hooks() == before


# ---------------------------------------------------------------------------------------------------------------- exactness


@every
def test_source_leaves_no_trace_and_repeats_itself(name: str) -> None:
    run = fit(fresh(name), 3)
    before = bits(run)
    a, b = look_at(run), look_at(run)
    assert a and not differing(dict(a), dict(b)), "the same step gave other rows"
    assert not any(isinstance(v, Tensor) and v.requires_grad for _, v in leaves(dict(a)))
    assert not differing(before, bits(run)), "asking for rows changed the run"


@every
def test_same_seed_same_bits(name: str) -> None:
    a, b, c = (fit(fresh(name, seed), 4) for seed in (1, 1, 2))
    assert not differing(bits(a), bits(b))
    assert differing(nets(a), nets(c)), "another seed gave the same networks"


@every
def test_resume_is_exact(name: str, tmp_path: Path) -> None:
    whole = fit(fresh(name), 6)
    half = fit(fresh(name), 3)
    half.judge()
    path = checkpoint.write(half, tmp_path)
    saved = bits(half)
    fit(half, 5)
    again = checkpoint.restore(fresh(name, seed=9), checkpoint.read(path))
    assert not differing(saved, bits(again)), "what was read isn't what was written"
    fit(again, 6)
    again.best = None
    assert not differing(bits(whole), bits(again)), "3 steps + save + load + 3 steps isn't 6 steps"


@every
def test_runs_leave_each_other_and_the_world_alone(name: str) -> None:
    everywhere = lambda: (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist())
    fit(fresh(name), 1)  # what is imported on the way may draw
    torch.manual_seed(3)
    before = everywhere()
    a, b = fresh(name), fresh(name, seed=2)
    for step in range(1, 5):
        fit(a, step)
        fit(b, step)
    assert not differing(before, everywhere()), "global random streams were used"
    assert not differing(bits(a), bits(fit(fresh(name), 4)))
    assert not differing(bits(b), bits(fit(fresh(name, seed=2), 4)))


@every
def test_watching_changes_nothing_and_the_result_stands_alone(name: str) -> None:
    found: list[Any] = []

    def watch(run: Run, _batch: Batch, _terms: Any) -> None:
        torch.randn(3)
        found.append(artefact(run))

    run = fit(fresh(name), 3, watch=watch)
    assert not differing(bits(run), bits(fit(fresh(name), 3)))
    values = lambda made: dict(made.state_dict()) if isinstance(made, nn.Module) else dict(made)
    kept = copy.deepcopy(values(found[-1]))
    score = run.world.validate(found[-1])
    fit(run, 6)
    assert not differing(kept, values(found[-1])), "training went on inside the result"
    assert np.isfinite(score) and run.world.validate(found[-1]) == score
    if isinstance(found[-1], nn.Module):
        assert not any(m.training for m in found[-1].modules())
        assert not any(isinstance(h, Tensor) and h.requires_grad for h in found[-1].buffers())


@every
def test_test_split_is_sealed_in_fit(name: str) -> None:
    """In every verb, and for those who look on. That worlds ask the seal is tested with the worlds; the small ones here stay shut."""
    run, shut = fresh(name), []

    def asks(verb: Callable[..., Any]) -> Callable[..., Any]:
        def asking(*args: Any) -> Any:
            with pytest.raises(Sealed):
                seal.check("the test split")
            shut.append(verb)
            return verb(*args)

        return asking

    for verb in ("source", "loss", "after_step", "result"):  # the last where the world observes
        object.__setattr__(run.method, verb, asks(getattr(run.method, verb)))
    fit(run, 1, watch=asks(lambda *_: None), after=asks(lambda *_: None))
    assert len(shut) >= 4 + bool({"stream"} & set(CARDS[name].tags))
    seal.check("the test split")  # open again


# ------------------------------------------------------------------------------------------------------------------- the teacher


@tagged("matching")
def test_a_copy_of_the_teacher_is_a_minimum(name: str) -> None:
    """Of the terms other than 'hard', against disturbances from small to large; in evaluation mode, so that both see rows alike."""
    world = place(name)
    teacher = world.teacher()
    run = fresh(name, student=lambda: copy.deepcopy(teacher), teacher=lambda: teacher)
    run.nets.eval()
    run.step = STEPS // 2
    value = lambda: sum(v.item() for v in soft(look(run)).values())
    best, weights = value(), copy.deepcopy(run.nets["student"].state_dict())
    for seed, size in enumerate((1e-4, 1e-3, 1e-2, 0.1, 0.3)):
        with torch.no_grad(), stream("disturb", seed):
            for p in run.nets["student"].parameters():
                p += size * torch.randn_like(p)
        worse = value()
        run.nets["student"].load_state_dict(weights)
        assert worse > best, f"{worse} at a distance of {size}, {best} at the copy"


def shuffled(world: World) -> World:
    """Placebo: the teacher answers for the row before; logits, what is tapped and what it writes alike."""

    def hook(name: str, net: nn.Module) -> nn.Module:
        if name == "teacher":
            net.register_forward_pre_hook(lambda _m, x: tuple(each(v, lambda t: t.roll(1, 0)) for v in x))
            if hasattr(net, "write"):
                net.write = Placebo(copy.deepcopy(net)).write
        return net

    return hooked(world, hook)


@tagged("teacher")
def test_the_teacher_matters(name: str) -> None:
    right, wrong = fresh(name), start(made(name), shuffled(place(name)), 1, device="cpu")
    apart = lambda: max(
        (a - b).abs().max().item()
        for a, b in zip(nets_of(right, "student").values(), nets_of(wrong, "student").values(), strict=True)
    )
    while apart() < 1e-8 and right.step < STEPS:  # more than rounding, which differs where only a mean over the rows is heard
        fit(right, right.step + 1)
        fit(wrong, wrong.step + 1)
    assert apart() >= 1e-8, f"the student learns the same from shuffled answers in {STEPS} steps"


def nets_of(run: Run, name: str) -> dict[str, Tensor]:
    return {k: v for k, v in nets(run).items() if k.startswith(name + ".")}


@tagged("teacher", "rows")
def test_a_stored_teacher_gives_the_same_bits(name: str, tmp_path: Path) -> None:
    """Asked once about every row, in the batches of the first epoch, what it said being kept in a folder; then never again, and a row it never saw is
    refused."""
    world, method, asked = place(name), made(name), []
    epoch = [world.rows(step) for step in range(4 if not isinstance(world, Rows) else ROWS // BATCH)]
    world = recast(
        world, sweep=lambda: iter(epoch)
    )  # the same batches: a row's answer moves in the last bit with the rows beside it
    teacher = copy.deepcopy(world.teacher()).eval()
    teacher.register_forward_hook(lambda *_: asked.append(1))
    rows = [b.x.of("teacher") if isinstance(b.x, Views) else b.x for b in epoch]
    label(
        teacher,
        rows,
        tmp_path / "store",
        Encoding("float32"),
        taps=tuple(method.taps().get("teacher", ())),
        batch=BATCH,
        shard=BATCH,
    )
    stored = Recorded(tmp_path / "store", teacher)
    asked.clear()
    live, memory = (start(method, w, 1, device="cpu") for w in (world, recast(world, teacher=lambda: stored)))
    for run in (live, memory):
        fit(run, len(epoch))
    learned = lambda run: {k: v for k, v in nets(run).items() if not k.startswith("teacher.")}
    assert not differing(learned(live), learned(memory)) and not asked
    unseen = lambda x: x + 1 if x.is_floating_point() else x.flip(-1)  # words stay words
    memory.world = edited(world, lambda b: Batch({**b, "x": each(b.x, unseen)}))
    with pytest.raises(Refused, match="never asked"):
        fit(memory, memory.step + 1)


@every
def test_forwards_per_step_are_bounded(name: str) -> None:
    """Cost is counted in calls of the world's networks and of copies of them, never in seconds: a clock fails on a busy machine."""
    calls: list[int] = []

    def hook(_name: str, net: nn.Module) -> nn.Module:
        net.register_forward_hook(lambda *_: calls.append(1))
        return net

    run = start(made(name), hooked(place(name), hook), 1, device="cpu")
    for _ in range(6):
        calls.clear()
        fit(run, run.step + 1)
        assert len(calls) <= CARDS[name].forwards, (
            f"{len(calls)} forwards at step {run.step}, the card says {CARDS[name].forwards}"
        )


@every
def test_works_beside_another_method(name: str) -> None:
    """Composed with `alone` a method learns what it learns by itself: alone's only term is 'hard', and that is taken once."""
    other = "kd" if name == "alone" else "alone"
    if "game" in CARDS[name].tags:
        with pytest.raises(Refused, match="one player"):
            compose(made(name), made(other))
        return
    if name not in DIGITS and not {"x", "y"} <= look_at(fresh(name)).keys():
        return  # rows of a kind that `alone` can't learn from
    both, single = compose(made(name), made(other)), made(name)
    assert registry.build(json.loads(json.dumps(both.config()))) == both
    names: set[str] = set()
    run = fresh(name, method=both)
    fit(run, 3, watch=lambda _r, _b, terms: names.update(*terms.values()))
    assert all(n == "hard" or n.startswith((f"{name}.", f"{other}.")) for n in names), names
    seen: set[str] = set()
    lone = fit(fresh(name, method=single), 3, watch=lambda _r, _b, terms: seen.update(*terms.values()))
    assert {n for n in names if n.startswith(name + ".")} == {f"{name}.{n}" for n in seen - {"hard"}}
    if other == "alone" and "hard" in seen:
        for k, v in nets_of(lone, "student").items():
            assert torch.allclose(v.double(), nets_of(run, "student")[k].double(), rtol=1e-9, atol=1e-12), k
    assert np.isfinite(run.world.validate(artefact(run)))


# ------------------------------------------------------------------------------------------------- what only some kinds must keep


@tagged("average")
def test_the_average_follows_and_is_never_learned(name: str) -> None:
    """After a step each of its numbers has gone one and the same share of the way to the student's."""
    run = fresh(name)
    assert "teacher" not in run.opts and not any(p.requires_grad for p in run.nets["teacher"].parameters())
    here = lambda: {k: v.clone() for k, v in run.nets["teacher"].state_dict().items() if v.is_floating_point()}
    shares = []
    for _ in range(STEPS):
        before = here()
        fit(run, run.step + 1)
        student = run.nets["student"].state_dict()
        common = [k for k in before if k in student and before[k].shape == student[k].shape]
        assert common, "teacher and student have no tensor in common"
        way, went = (torch.cat([(to[k] - before[k]).flatten() for k in common]) for to in (student, here()))
        share = (went @ way / (way @ way).clamp(min=1e-30)).item()
        assert -1e-9 <= share <= 1 + 1e-9 and torch.allclose(went, share * way, rtol=1e-6, atol=1e-9), (
            f"step {run.step}: not on the way from average to student ({share:.3f})"
        )
        shares.append(share)
    assert any(0 < s < 0.999 for s in shares), f"it never averages: it went {sorted(set(shares))[:3]} of the way"


@tagged("stream")
def test_a_stream_shows_no_labels_and_is_scored_before_it_is_learned_from(name: str) -> None:
    run = fresh(name)
    told: list[Any] = []
    fit(run, 4, watch=lambda run, _b, _t: told.append(run.rows().get("y")))
    assert all(y is None or bool((y == -1).all()) for y in told), "an arrival came with its label"
    assert sorted(run.observed) == [0, 1, 2, 3], f"scored at steps {sorted(run.observed)}"
    for step in (0, 2):
        again = fit(fresh(name), step)
        again.look()
        assert again.observed[step] == run.observed[step], f"step {step} was scored by what had already learned from it"
    blind = fit(fresh(name, observe=lambda made, step: None), 4)
    assert not blind.observed and not differing(nets(run), nets(blind)), "being watched changed what was learned"


@tagged("phases")
def test_of_a_sequence_only_the_present_task_is_seen(name: str) -> None:
    world, asked = place(name), []
    assert world.phase(0) == 0 < world.phase(STEPS - 1), "a sequence of one task"

    def rows(step: int, split: str = "train") -> Batch:
        asked.append(step)
        return world.rows(step, split)

    run = start(made(name), recast(world, rows=rows, sweep=None), 1, device="cpu")
    assert {world.phase(s) for s in asked} == {0}, "later tasks were looked at beforehand"
    while run.step < STEPS:
        asked.clear()
        fit(run, run.step + 1)
        assert {world.phase(s) for s in asked} <= {world.phase(run.step - 1)}, f"rows of steps {asked} at step {run.step - 1}"
    assert len(run.observed) == world.phase(STEPS - 1) + 1, f"scored at {sorted(run.observed)}, not once a task"


@tagged("acts")
def test_who_acts_learns_from_what_the_student_did(name: str) -> None:
    """Another student has other episodes, within the budget: at some step, and where a share says how often it acts, at the upper end of that
    share at least. Nothing in them carries a gradient."""
    usual = made(name)
    shares = [f.name for f in dataclasses.fields(usual) if f.metadata.get("span", ())[1:] == (1,)]
    acted = False
    for method in (usual, *(dataclasses.replace(usual, **{f: type(getattr(usual, f))(1)}) for f in shares)):
        run, other = fresh(name, method=method), fresh(name, method=method)
        with torch.no_grad(), stream("other"):
            for p in other.nets["student"].parameters():
                p += torch.randn_like(p)
        while run.step < STEPS and not acted:
            a, b = look_at(run), look_at(other)
            acted = bool(differing(dict(a), dict(b)))
            run.step = other.step = run.step + 1
        if acted:
            break
    assert acted, "the episodes are the same whoever acts"
    assert not any(isinstance(v, Tensor) and v.requires_grad for _, v in leaves(dict(a)))
    assert "reward" not in a or a.reward.isfinite().all()


@tagged("curriculum")
def test_a_curriculum_hears_what_came_of_its_tasks(name: str) -> None:
    """The tasks that it hands out are of the world's kind, and depend on how earlier ones went."""
    world = place(name)

    def upside_down(actor: nn.Module, x: Tensor) -> Batch:
        done = world.play(actor, x)
        return Batch({**done, "reward": done.reward.max() - done.reward})

    run, other = fresh(name), fresh(name, play=upside_down)
    apart = False
    while run.step < STEPS and not apart:
        a, b = look_at(run), look_at(other)
        assert a.x.shape == world.rows(run.step).x.shape and bool(((a.x >= 0) & (a.x <= 1)).all()), "a task out of the unit cube"
        apart = not torch.equal(a.x, b.x)
        other.nets["student"].load_state_dict(run.nets["student"].state_dict())  # the same student, whatever it learned
        fit(run, run.step + 1)
        fit(other, other.step + 1)
    assert apart, f"in {STEPS} steps the tasks are the same whatever came of them"


@tagged("rewrites")
def test_what_the_teacher_wrote_is_learned_from(name: str) -> None:
    world, run = place(name), fresh(name)
    rows = lambda x: [tuple(r.flatten().tolist()) for r in (x["input_ids"] if isinstance(x, dict) else x)]
    known = {r for step in range(4 * STEPS) for r in rows(world.rows(step).x)}
    wrote: set[Any] = set()
    fit(run, STEPS, watch=lambda _r, b, _t: wrote.update(rows(b.x)))
    assert wrote - known, "every row that was learned from is one of the world's own"


@tagged("data")
def test_a_made_data_set_can_be_learned_from(name: str) -> None:
    run = fit(fresh(name), STEPS)
    data, rows = artefact(run), run.world.rows(0)
    assert isinstance(data, Batch) and len(data.x) == len(data.y) > 0 and data.x.shape[1:] == rows.x.shape[1:]
    assert all(v.isfinite().all() and not v.requires_grad for _, v in leaves(dict(data)))
    assert set(data.y.tolist()) >= set(rows.y.tolist()) or data.y.is_floating_point(), "a class is missing"
    pupil = run.world.student()
    run.world.hard(pupil(data.x), data).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in pupil.parameters())


@tagged("search")
def test_what_was_found_is_within_the_limit(name: str) -> None:
    """And stands alone: a network of its own size, not the big one with parts switched off."""
    count = lambda net: sum(p.numel() for p in net.parameters())
    run = fit(fresh(name), 4)
    found, whole = artefact(run), run.nets["student"]
    assert isinstance(found, nn.Module) and count(found) <= run.method.limit * count(whole), (count(found), count(whole))
    tight = start(dataclasses.replace(run.method, limit=count(found) / count(whole) * 0.999), run.world, 1, device="cpu")
    fit(tight, 1)
    with contextlib.suppress(Refused):  # where nothing is as small as that
        assert count(artefact(tight)) < count(found), "a tighter limit found nothing smaller"


# ------------------------------------------------------------------------------------------------------------------ two processes


def launch(names: tuple[str, ...], before: str = "") -> Path:
    """Two processes that share each run, joined by gloo; `before` is executed in both. -> the folder of what came of it."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = str(s.getsockname()[1])
    folder = Path(tempfile.mkdtemp(prefix="ranks-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    code = f"import sys; from pathlib import Path; sys.path.insert(0, {str(HERE)!r}); import ranks\n{before}\nranks.main(Path({str(folder)!r}), {list(names)!r})"
    both = [subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], stderr=subprocess.PIPE, text=True, env=os.environ | {
        "RANK": str(r), "LOCAL_RANK": str(r), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}) for r in (0, 1)]  # fmt: skip
    try:
        said = [p.communicate(timeout=150)[1] for p in both]
    finally:
        for p in both:
            p.kill()
    assert not any(p.returncode for p in both), "\n".join(said)
    return folder


OWN = {"batch", "stream", "phases", "acts", "rewrites", "data", "search", "average"}  # rows of one's own, or compared
PAIR = tuple(n for n in NAMES if not OWN & set(CARDS[n].tags) and (n in DIGITS or "game" not in CARDS[n].tags))


@pytest.fixture(scope="session")
def pair(request: pytest.FixtureRequest) -> Path:
    """Two processes are launched once, for all methods that are asked for."""
    return launch(tuple(n for n in asked_for(request) if n in PAIR))


def one_and_two(name: str, folder: Path, *, exactly: bool = True) -> None:
    """Two processes hold the same networks, and, exactly, those that one process with the doubled batch has: within 1e-9 of
    float64."""
    from contract.ranks import train

    for error in folder.glob(f"{name}.*.error"):
        pytest.fail(error.read_text())
    first, second = (load_file(folder / f"{name}.{r}.safetensors") for r in (0, 1))
    assert not differing(first, second), "the two processes have drifted apart"
    if not exactly:
        return
    one = train(name, ranks=2, device="cpu")
    for k, v in one.items():
        assert torch.allclose(v.double(), first[k].double(), rtol=1e-9, atol=1e-9), (
            f"{k}: {(v.double() - first[k].double()).abs().max():.2e}"
        )


@of(list(PAIR))
def test_two_processes_are_one_with_twice_the_rows(name: str, pair: Path) -> None:
    """Exactly, but for who draws chance in a step, where each process draws its own, and for worlds whose mean isn't over rows (words
    that are asked for, of which a process has more than the other): there the two at least hold the same networks."""
    one_and_two(name, pair, exactly=name in DIGITS and not draws(name, small("digits", norm=False)))
