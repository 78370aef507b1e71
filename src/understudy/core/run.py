"""One training in memory: networks, players, and how far it has come."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from understudy.core import devices, seal, sharding
from understudy.core.batch import Batch, Views
from understudy.core.errors import refuse
from understudy.core.method import Method
from understudy.core.seeds import stream
from understudy.core.taps import At, probe, tap
from understudy.core.world import Player, View, World, recast

UNDIVIDED = {"batch", "game"}  # tags of methods that can't learn from a batch in parts


@dataclass
class Best:
    """The artefact that scored highest on the validation rows so far."""

    score: float
    step: int
    artefact: nn.Module | Batch


@dataclass
class Run:
    """What the verbs are handed. `run["student"]` is a network; a method reads rows, world and step and leaves `opts` alone."""

    method: Method
    world: World
    seed: int
    nets: nn.ModuleDict
    players: dict[str, Player]
    opts: dict[str, torch.optim.Optimizer]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: str = "no"
    step: int = 0
    best: Best | None = None
    observed: dict[int, float] = field(default_factory=dict)  # step -> what the world saw then (`World.observe`)
    reshaped: set[str] = field(default_factory=set)  # networks whose tensors have other shapes than at the start
    skipped: dict[int, str] = field(default_factory=dict)  # steps that weren't finite and moved nothing -> what was wrong

    def __getitem__(self, name: str) -> nn.Module:
        return self.nets[name]

    def tap(self, name: str, at: At, *x: Any) -> tuple[Any, Any]:
        """Output of the network of that name, and what was read inside it (see `core.taps.tap`)."""
        return tap(self.nets[name], at, *x)

    def rows(self, split: str = "train", step: int | None = None) -> Batch:
        """The world's rows of this step (or another), on this run's device."""
        return self.world.rows(self.step if step is None else step, split).to(self.device)

    @property
    def progress(self) -> float:
        """How much of the budget is spent, in [0, 1]."""
        return min(self.step / max(self.world.steps, 1), 1.0)

    def agree(self) -> None:
        """Give all processes the first one's buffers (batch statistics, memories), which each of them filled from its own rows."""
        if self.world.ranks > 1:
            devices.share(self.nets.buffers())

    def renew(self, name: str, fresh: nn.Module) -> None:
        """A network is born again: new weights, of other shapes if it grew or was pruned, and its optimiser forgets the old ones."""
        if take_shapes(self.nets[name], fresh.state_dict()):
            self.reshaped.add(name)
        self.nets[name].load_state_dict(fresh.state_dict())
        for p in self.nets[name].parameters():
            for opt in self.opts.values():
                opt.state.pop(p, None)

    def judge(self) -> float:
        """Score what there is on the validation rows, and keep it if nothing was better."""
        self.agree()
        with stream(self.seed, self.step, "judge"):
            made = artefact(self)
            score = self.world.validate(made)
        if self.best is None or score > self.best.score:
            made = made.cpu() if isinstance(made, nn.Module) else made  # a device has better use for its memory
            self.best = Best(score, self.step, made)
        return score

    def look(self) -> None:
        """Let the world see what there is before the next step, if it wants to."""
        if self.step in self.observed:
            return  # resumed where it was already seen

        def made() -> nn.Module | Batch:
            with seal.learning():  # the world may read the test split here, the method's `result` may not
                return artefact(self)

        with stream(self.seed, self.step, "observe"), seal.learning(False):
            seen = self.world.observe(made, self.step)
        if seen is not None:
            self.observed[self.step] = seen

    def worth(self, split: str = "test") -> float:
        """The score of the run: the mean of what was observed where its world observes, else the artefact's on that split."""
        if self.observed:
            return sum(self.observed.values()) / len(self.observed)
        return self.world.score(artefact(self)) if split == "test" else self.world.validate(artefact(self))


def start(method: Method, world: World, seed: int = 0, *, device: str | torch.device | None = None, precision: str = "no") -> Run:
    """A run at step 0: networks built in the seed's stream, players assigned, devices found.

    device: None asks Accelerate (which sees the launch); precision: 'no' or 'bf16'.
    Raises `Refused` where method and world don't fit, before any row is learned from.
    """
    _fits(method, world)
    if device is None or devices.launched():
        place = devices.accelerator()
        device, world = device or place.device, recast(world, rank=place.process_index, ranks=place.num_processes)
    device, world = torch.device(device), _with_views(world)
    with stream(seed, "setup"), seal.learning():
        nets, players = nn.ModuleDict(method.setup(world)), method.players(world)
    nets.to(device)
    for name, names in method.taps().items():  # what doesn't exist or doesn't fire is told now, not at the first batch
        if name in nets:
            with stream(seed, "probe"):
                probe(nets[name], tuple(names), world.rows(0).to(device).x)
    for net in nets.values():
        net.train(any(p.requires_grad for p in net.parameters()))  # who learns is in training mode, who doesn't is not
        if sharding.wanted() and next(net.parameters(), None) is not None:
            sharding.shard(net)
    own: dict[str, list[nn.Parameter]] = {k: [] for k in players}
    for name, p in nets.named_parameters():
        owner = name.split(".")[0]
        own[owner if owner in own else next(iter(own))] += [p] if p.requires_grad else []
    for player, parameters in own.items():
        if not parameters:
            raise refuse("players", player, "a player with something to move", f"no parameter of '{player}' requires a gradient")
    return Run(method, world, seed, nets, players, {k: players[k].optimiser(own[k]) for k in players}, device, precision)


def take_shapes(net: nn.Module, state: dict[str, torch.Tensor]) -> bool:
    """Give a network's tensors the shapes of those in `state`, in place, so that whoever moves a parameter still holds it; the
    values are lost. Whether anything changed."""
    changed = False
    for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
        if name in state and tensor.shape != state[name].shape:
            tensor.data, tensor.grad, changed = tensor.new_zeros(state[name].shape), None, True
    for module in net.modules():
        if isinstance(module, nn.Linear):
            module.out_features, module.in_features = module.weight.shape
    return changed


def _fits(method: Method, world: World) -> None:
    if world.parts > 1 and UNDIVIDED & set(method.card.tags):
        raise refuse("parts", world.parts, f"1: '{method.name}' compares the rows of a batch, or has several players",
                     "use a smaller batch")  # fmt: skip
    if method.card.tasks and world.task not in method.card.tasks:
        raise refuse("method", method.name, f"the task is '{world.task}', and '{method.name}' is for {', '.join(method.card.tasks)}",
                     f"the world '{method.card.world}' shows what it needs")  # fmt: skip
    if "classes" in method.card.tags and world.task != "classify":
        raise refuse("method", method.name, f"the task is '{world.task}', and '{method.name}' reads logits over classes",
                     "use a method without the tag 'classes', e.g. kd, fitnet, rkd or pkt")  # fmt: skip


class OwnView:
    """On the way into a network: its own view of the input. A class, so that copies of the network carry it along."""

    def __init__(self, name: str, view: View | None) -> None:
        self.name, self.view = name, view

    def __call__(self, _net: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x = args[0].of(self.name) if isinstance(args[0], Views) else args[0]
        return (self.view(x) if self.view else x, *args[1:])


def seen_by(net: nn.Module, name: str, world: World) -> nn.Module:
    """The same network, which from now on sees inputs as the world says that `name` does."""
    for key, hook in list(net._forward_pre_hooks.items()):
        if isinstance(hook, OwnView):  # a copy of a network that was in a run brings that run's view
            del net._forward_pre_hooks[key]
    net.register_forward_pre_hook(OwnView(name, world.views.get(name)))
    return net


def _with_views(world: World) -> World:
    """The world, handing out networks that see rows their own way from the start; what a method makes of them sees them alike."""
    if not world.views and not isinstance(world.rows(0).get("x"), Views):
        return world

    def teacher() -> nn.Module | None:
        given = world.teacher()
        return None if given is None else seen_by(copy.deepcopy(given), "teacher", world)

    return recast(world, student=lambda: seen_by(world.student(), "student", world), teacher=teacher)


@torch.no_grad()
def artefact(run: Run) -> nn.Module | Batch:
    """What the run made, on its own: a copy that further training leaves as it is."""
    made = run.method.result(run)
    return sharding.whole(made).eval() if isinstance(made, nn.Module) else copy.deepcopy(made)


def parameters(run: Run, player: str) -> Iterator[nn.Parameter]:
    """What a player moves."""
    return (p for g in run.opts[player].param_groups for p in g["params"])
