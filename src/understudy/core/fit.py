"""The only loop."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core import devices, seal
from understudy.core.batch import Batch
from understudy.core.errors import NotFinite, Refused
from understudy.core.faults import finite, halve, named, undoing
from understudy.core.method import Method
from understudy.core.run import Run, parameters
from understudy.core.seeds import reseed, stream
from understudy.core.world import World

Terms = dict[str, Tensor]
Watch = Callable[[Run, Batch, dict[str, Terms]], None]


def fit(
    run: Run, until: int | None = None, *, watch: Watch | None = None, every: int = 1, after: Callable[[Run], None] | None = None, skip: int = 0,
) -> Run:  # fmt: skip
    """Train to the step `until` (the world's budget if None).

    watch looks on at every `every`-th step, between the gradients and the move (terms detached, in a random stream of its own); after is
    called between steps, where the run may be judged or saved. A step whose terms or gradients aren't finite moves nothing: the first
    `skip` of a run are passed over and noted in `run.skipped`, the next raises `NotFinite`, which leaves the run as it was before it. A
    step that memory doesn't suffice for is learned from in twice as many parts (`run.world.parts`).
    """
    until = run.world.steps if until is None else until
    observed = type(run.world).observe is not World.observe
    with stream(run.seed, "fit"), seal.learning():
        while run.step < until:
            if observed:
                run.look()
            _step(run, watch if run.step % every == 0 else None, skip)
            run.step += 1
            if after is not None:
                after(run)
        if observed and run.step >= run.world.steps:
            run.look()
    return run


def _step(run: Run, watch: Watch | None, skip: int) -> None:
    """One step; nothing of its graph outlives it, so a network may come out of it in another shape."""
    undo = undoing(run)
    while (tried := _gradients(run)) is None:
        halve(run, undo())
    batch, terms = tried
    bad = float(~finite(run, terms))
    if devices.total(bad, run.device) if run.world.ranks > 1 else bad:
        what = f"{named(run, terms)} at step {run.step}"
        if not undo():
            raise Refused(f"{what} and wrote into a large buffer, which isn't taken back: go on from the last checkpoint")
        if len(run.skipped) >= skip:
            raise NotFinite(f"{what}; the weights are as they were before it: look for NaN in the rows, lower the learning rate, clip the "
                            f"gradient, or skip such steps ({len(run.skipped)} of {skip} skipped so far)")  # fmt: skip
        run.skipped[run.step] = what
        return
    if watch is not None:
        with stream(run.seed, run.step, "watch"):
            watch(run, batch, terms)
    move(run, terms)
    if type(run.method).after_step is not Method.after_step:
        with torch.no_grad():
            run.method.after_step(run, batch)


def _gradients(run: Run) -> tuple[Batch, dict[str, Terms]] | None:
    """What this step learns from and its terms, detached; nothing has moved. None where memory doesn't suffice: then nothing is left."""
    try:
        batch, whole = restarted(run), dict[str, Terms]()
        parts = batch.split(run.world.parts) if run.world.parts > 1 else [batch]
        for i, (part, share) in enumerate(zip(parts, _shares(run, parts), strict=True)):
            terms = heard(run, part, share)
            backward(run, terms, add=i > 0)
            whole = _added(whole, terms)
        if len(parts) > 1:  # what a loss put into its part
            batch.update({k: torch.cat([p[k] for p in parts]) for k in parts[0] if k not in batch})
        return batch, whole
    except (RuntimeError, MemoryError) as e:
        if devices.out_of_memory(e):
            return None
        raise


def restarted(run: Run) -> Batch:
    """What this step learns from, in the random stream that is the step's own."""
    reseed(run.seed, run.step, *([run.world.rank] if run.world.rank else []))
    return sourced(run)


def _shares(run: Run, parts: list[Batch]) -> list[float]:
    """What each part's means count for in the mean over all parts and processes, times the processes (whose gradients are averaged)."""
    weights = [run.world.weight(p) for p in parts]
    if len(parts) == 1 and weights[0] is None:
        return [1.0]
    rows = [len(p) for p in parts]
    counts = [float(r) if w is None else float(w) for r, w in zip(rows, weights, strict=True)]
    whole = sum(counts)
    if run.world.ranks > 1 and weights[0] is not None:
        whole = devices.total(whole, run.device) / run.world.ranks
    return [c / whole if whole else 0.0 for c in counts]


def _added(one: dict[str, Terms], other: dict[str, Terms]) -> dict[str, Terms]:
    plain = {player: {k: v.detach() for k, v in own.items()} for player, own in other.items()}
    return {player: {k: one[player][k] + v if one else v for k, v in own.items()} for player, own in plain.items()}


def turns(run: Run) -> tuple[Batch, dict[str, Terms]]:
    """The batch of this step and the terms of every player whose turn it is."""
    batch = sourced(run)
    return batch, heard(run, batch)


def sourced(run: Run) -> Batch:
    """What this step learns from."""
    with torch.no_grad():
        return run.method.source(run)


def heard(run: Run, batch: Batch, share: float = 1.0) -> dict[str, Terms]:
    """The terms of every player whose turn it is, times this batch's share of the step."""
    if run.precision == "no":
        out: Mapping[str, Any] = run.method.loss(run, batch)
    else:
        with devices.autocast(run.device, run.precision):
            out = run.method.loss(run, batch)
    game = isinstance(next(iter(out.values())), Mapping)
    terms = {k: dict(v) for k, v in out.items()} if game else {next(iter(run.opts)): dict(out)}
    return terms if share == 1 else {player: {k: share * v for k, v in own.items()} for player, own in terms.items()}


def backward(run: Run, terms: dict[str, Terms], add: bool = False) -> None:
    """Every gradient is taken before anybody moves, and a player's loss reaches that player's parameters only. add: to what is there."""
    for player in () if add else terms:
        run.opts[player].zero_grad(set_to_none=True)
    alone, last = len(run.opts) == 1, next(reversed(terms))
    for player, own in terms.items():
        loss = functools.reduce(torch.add, own.values())
        loss.backward(inputs=None if alone else list(parameters(run, player)), retain_graph=player != last)  # type: ignore[no-untyped-call]


def move(run: Run, terms: dict[str, Terms]) -> None:
    """The optimiser step of everybody whose turn it is."""
    for player in terms:
        opt, how = run.opts[player], run.players[player]
        if run.world.ranks > 1:
            devices.mean_gradients(parameters(run, player))
        if how.clip is not None:
            nn.utils.clip_grad_norm_(parameters(run, player), how.clip)
        if how.schedule is not None:
            factor = how.schedule(run.step)
            for group in opt.param_groups:
                group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
        opt.step()
