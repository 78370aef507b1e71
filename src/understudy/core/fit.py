"""The only loop."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core import devices, seal
from understudy.core.batch import Batch
from understudy.core.errors import NotFinite
from understudy.core.method import Method
from understudy.core.run import Run, parameters
from understudy.core.seeds import reseed, stream
from understudy.core.world import World

Terms = dict[str, Tensor]
Watch = Callable[[Run, Batch, dict[str, Terms]], None]


def fit(
    run: Run, until: int | None = None, *, watch: Watch | None = None, every: int = 1, after: Callable[[Run], None] | None = None
) -> Run:
    """Train to the step `until` (the world's budget if None).

    watch looks on at every `every`-th step, between the loss and the move (terms detached, in a random stream of its own); after is
    called between steps, where the run may be judged or saved. Raises `NotFinite` naming the term, before the weights take it in.
    """
    until = run.world.steps if until is None else until
    observed = type(run.world).observe is not World.observe
    with stream(run.seed, "fit"), seal.learning():
        while run.step < until:
            if observed:
                run.look()
            reseed(run.seed, run.step, *([run.world.rank] if run.world.rank else []))
            _step(run, watch if run.step % every == 0 else None)
            run.step += 1
            if after is not None:
                after(run)
        if observed and run.step >= run.world.steps:
            run.look()
    return run


def _step(run: Run, watch: Watch | None) -> None:
    """One step; nothing of its graph outlives it, so a network may come out of it in another shape."""
    batch = sourced(run)
    parts = batch.split(run.world.parts) if run.world.parts > 1 else [batch]
    whole: dict[str, Terms] = {}
    for i, (part, share) in enumerate(zip(parts, _shares(run, parts), strict=True)):
        terms = heard(run, part, share)
        if watch is not None:
            whole = _added(whole, terms)
        if watch is not None and i == len(parts) - 1:
            with stream(run.seed, run.step, "watch"):
                watch(run, batch, whole)
        backward(run, terms, add=i > 0)
    move(run, terms)
    if len(parts) > 1:  # what a loss put into its part
        batch.update({k: torch.cat([p[k] for p in parts]) for k in parts[0] if k not in batch})
    if type(run.method).after_step is not Method.after_step:
        with torch.no_grad():
            run.method.after_step(run, batch)


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
        _finite(run, loss, own)
        loss.backward(inputs=None if alone else list(parameters(run, player)), retain_graph=player != last)  # type: ignore[no-untyped-call]


def _finite(run: Run, loss: Tensor, own: Terms) -> None:
    if math.isfinite(loss.item()):
        return
    for name, term in own.items():
        if not math.isfinite(term.item()):
            raise NotFinite(f"the term '{name}' of '{run.method.name}' is {term.item()} at step {run.step}; the weights are as they were before it: "
                            "look for NaN in the rows, lower the learning rate or clip the gradient")  # fmt: skip
    raise NotFinite(f"the terms of '{run.method.name}' are finite and their sum isn't at step {run.step}; lower their weights")


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
