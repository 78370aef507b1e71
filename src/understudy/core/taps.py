"""Reading inside a network by name, without editing it."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from understudy.core.errors import TapError, nearest

At = str | tuple[str, ...]


@dataclass(frozen=True)
class Anatomy:
    """What one forward pass shows: stages (names, early to late) and the input of the last linear layer."""

    stages: tuple[str, ...]
    penultimate: str


_KNOWN: weakref.WeakKeyDictionary[nn.Module, Anatomy] = weakref.WeakKeyDictionary()


def tensor_in(value: Any) -> Tensor | None:
    """The first tensor inside a module's output (a tuple, a Hugging Face output ...)."""
    if isinstance(value, Tensor):
        return value
    if isinstance(getattr(value, "hidden", None), Tensor):
        return value.hidden  # type: ignore[no-any-return]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return next((t for t in map(tensor_in, inside) if t is not None), None)


def module_at(net: nn.Module, name: str) -> nn.Module:
    """The sub-module of that dotted name, also inside a wrapper's `inner`; `""` is the network itself."""
    for root in _layers_of_wrapping(net):
        try:
            return root.get_submodule(name)
        except AttributeError:
            continue
    known = [n for root in _layers_of_wrapping(net) for n, _ in root.named_modules() if n]
    raise TapError(
        f"tap '{name}' is not a module of {type(_core(net)).__name__}{nearest(name, known)}; "
        f"write a dotted name (':in' behind it reads the input), 'penultimate', 'stage:-1' or 'stages'; it has {_some(known)}"
    )


def _layers_of_wrapping(net: nn.Module) -> Iterator[nn.Module]:
    yield net
    if isinstance(getattr(net, "inner", None), nn.Module):
        yield from _layers_of_wrapping(net.inner)  # type: ignore[arg-type]


def _core(net: nn.Module) -> nn.Module:
    return list(_layers_of_wrapping(net))[-1]


def _some(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def tap(net: nn.Module, at: At, *x: Any) -> tuple[Any, Any]:
    """The output, and the tensor read at `at` (a tuple of names gives a tuple of tensors, 'stages' as many as there are).

    'layer3' reads what leaves the module, 'layer3:in' what enters it, 'stage:-1.attention.self.query' a module inside the last
    stage and 'stage:*.attention.self.query' the same inside all of them, so one name does for networks of different depth. Of a
    module that is called twice, the last call is read.
    Raises `TapError` where a name isn't a module (naming the nearest ones) or the module didn't run.
    """
    if hasattr(net, "read"):  # stored answers have no modules, and know what they were labelled with
        out, found = cast(Any, net).read(_flat(at), *_seen(net, x))
        return out, found[0] if one(at) else found
    names = resolve(net, at, *x)
    seen: dict[str, Tensor] = {}
    with _listening(net, names, seen):
        out = net(*x)
    for name in names:
        if name not in seen:
            raise TapError(
                f"tap '{name}' never fired: {type(_core(net)).__name__} doesn't call that module in its forward pass; tap one that it calls"
            )
    found = tuple(seen[n] for n in names)
    return out, found[0] if one(at) else found


def one(at: At) -> bool:
    """Does this read one tensor, and not a tuple of them?"""
    return isinstance(at, str) and at != "stages" and not at.startswith("stage:*")


def _seen(net: nn.Module, x: tuple[Any, ...]) -> tuple[Any, ...]:
    """What its own view makes of the input, as on the way into a forward pass."""
    for hook in net._forward_pre_hooks.values():
        made = hook(net, x)
        x = x if made is None else made if isinstance(made, tuple) else (made,)
    return x


def _flat(at: At) -> tuple[str, ...]:
    return (at,) if isinstance(at, str) else at


@contextmanager
def _listening(net: nn.Module, names: tuple[str, ...], seen: dict[str, Tensor]) -> Iterator[None]:
    handles = []
    for name in names:
        path, _, side = name.partition(":")

        def note(value: Any, name: str = name) -> None:
            found = tensor_in(value)
            if found is None:
                raise TapError(f"tap '{name}' carries no tensor ({type(value).__name__}); tap a module inside it")
            seen[name] = found

        module = module_at(net, path)
        if side == "in":
            handles.append(module.register_forward_pre_hook(lambda _m, a, k, note=note: note(a or k), with_kwargs=True))
        elif side in ("", "out"):
            handles.append(module.register_forward_hook(lambda _m, _a, out, note=note: note(out)))
        else:
            raise TapError(f"tap '{name}': ':{side}' is neither ':in' nor ':out'")
    try:
        yield
    finally:
        for h in handles:
            h.remove()


def resolve(net: nn.Module, at: At, *x: Any) -> tuple[str, ...]:
    """Module names for what `at` asks of this network: 'penultimate', 'stage:-1' and 'stages' depend on its anatomy."""
    names: list[str] = []
    for word in _flat(at):
        if word == "penultimate":
            names.append(anatomy(net, *x).penultimate)
        elif word == "stages":
            names.extend(anatomy(net, *x).stages)
        elif word.startswith("stage:"):
            stages = anatomy(net, *x).stages
            which, dot, inside = word.removeprefix("stage:").partition(".")
            try:
                names.extend(s + dot + inside for s in (stages if which == "*" else (stages[int(which)],)))
            except (ValueError, IndexError):
                raise TapError(
                    f"tap '{word}': {type(_core(net)).__name__} has {len(stages)} stages ({_some(list(stages))}), counted 0 to {len(stages) - 1} or -1 backwards"
                ) from None
        else:
            names.append(word)
    return tuple(names)


def probe(net: nn.Module, at: At, x: Any) -> Any:
    """What `tap` would read, for its shapes: no gradient, evaluation mode, nothing left behind; [1 or more rows] -> features."""
    with _undisturbed(net):
        return tap(net, at, x)[1]


@contextmanager
def _undisturbed(net: nn.Module) -> Iterator[None]:
    modes = [(m, m.training) for m in net.modules()]
    rng = torch.get_rng_state()
    net.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_rng_state(rng)
        for m, mode in modes:
            m.training = mode


def anatomy(net: nn.Module, *x: Any) -> Anatomy:
    """Found by watching one forward pass. Raises `TapError` where there is nothing of the kind to be found."""
    if net not in _KNOWN:
        _KNOWN[net] = _dissect(net, *x)
    return _KNOWN[net]


def _dissect(net: nn.Module, *x: Any) -> Anatomy:
    core = _core(net)
    order: list[_Fired] = []
    handles = []
    for name, module in core.named_modules():
        if name and next(module.parameters(), None) is not None:

            def note(m: nn.Module, _a: Any, out: Any, name: str = name) -> None:
                found = tensor_in(out)
                if found is not None:
                    order.append(_Fired(name, m, tuple(found.shape)))

            handles.append(module.register_forward_hook(note))
    try:
        with _undisturbed(net):
            final = tensor_in(net(*x))
    finally:
        for h in handles:
            h.remove()
    width = None if final is None else final.shape[-1]
    heads = [f.name for f in order if isinstance(f.module, (nn.Linear, nn.Conv2d)) and f.shape[-1] == width]
    head = heads[-1] if heads else next((f.name for f in reversed(order) if isinstance(f.module, nn.Linear)), "")
    body = [f for f in order if f.name != head and not head.startswith(f.name + ".")]
    lists = {name for name, m in core.named_modules() if isinstance(m, (nn.ModuleList, nn.Sequential))}
    return Anatomy(_stages(body, lists) or ("",), f"{head}:in" if head else "")


@dataclass(frozen=True)
class _Fired:
    name: str
    module: nn.Module
    shape: tuple[int, ...]


def _stages(order: list[_Fired], lists: set[str]) -> tuple[str, ...]:
    """Of a network of maps: the last module of each resolution. Of others: the largest family of brothers of one class, which is
    where the blocks are; those that stand in a list come first, then the larger, the outer, the later."""
    if not order:
        return ()
    ranks = [len(f.shape) for f in order]
    if max(ranks, key=lambda r: (ranks.count(r), r)) == 4:
        last: dict[tuple[int, ...], str] = {}
        for f in order:
            if len(f.shape) == 4:
                last.pop(f.shape[2:], None)
                last[f.shape[2:]] = f.name
        return tuple(last.values())
    families: dict[tuple[str, type], list[str]] = {}
    for f in order:
        families.setdefault((f.name.rpartition(".")[0], type(f.module)), []).append(f.name)
    sizes = [(parent in lists, len(f), -parent.count("."), i) for i, ((parent, _), f) in enumerate(families.items())]
    return tuple(list(families.values())[max(sizes)[-1]])
