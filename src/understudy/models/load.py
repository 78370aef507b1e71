"""From an address to a network that takes the data's rows and answers for its classes."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from understudy.core.errors import nearest, refuse
from understudy.data import Data
from understudy.data.address import Address, parse, share, switch, whole
from understudy.data.raw import found
from understudy.models import hub
from understudy.models.shrink import OWN, shrink
from understudy.models.tiny import NETS
from understudy.models.wrap import HF, Loaded, Normalise, Rescaled
from understudy.trust import only_data

SCHEMES = ("torch", "file", "hf", "timm", "shrink", "sklearn")
RANGES = {"width": (1, 4096), "depth": (1, 64), "heads": (1, 64)}


def load(address: str, *, data: Data, teacher: nn.Module | None = None, trust_remote_code: bool = False) -> Loaded:
    """The network at an address.

    `tiny-cnn`, `cnn` and the other reference networks (`?width=`, `?depth=`, `?heads=`); `torch:package.module:callable` (called
    with classes= or num_classes= where it takes them; `?trained=true` where it brings weights; it sees pictures in [0,1]);
    `file:<path>.safetensors?arch=<address>`; `hf:<name or folder>`; `timm:<name>`; `shrink:<fraction>` of the teacher, which sees
    what the teacher sees; `sklearn:<name>`, fitted on the training rows. trust_remote_code: let a hub model run code of its own.
    Raises `Refused` where an option is unknown, a file doesn't fit, or a network can't read such rows.
    """
    at = parse(address)
    if at.scheme in NETS:
        return _reference(at, data)
    if at.scheme not in SCHEMES or not at.place:
        known = [*NETS, *(f"{s}:<...>" for s in SCHEMES)]
        shown = address if at.scheme != "openai" else "openai:…"  # it may hold a key, by mistake
        raise refuse("model", shown, f"{', '.join(known)}{nearest(at.scheme, [*NETS, *SCHEMES])}")
    if at.scheme == "torch":
        return _callable(at, data)
    if at.scheme == "file":
        return _file(at, data, teacher, trust_remote_code)
    if at.scheme == "hf":
        return hub.huggingface(at, data, trust_remote_code)
    if at.scheme == "timm":
        return hub.timm(at, data)
    if at.scheme == "sklearn":
        from understudy.teachers import fit_sklearn

        at.only(("seed",))
        return Loaded(fit_sklearn(at.place, data, seed=whole("seed", at.options.get("seed", 0), 0, 2**31)), trained=True)
    at.only(())
    fraction = share("shrink", at.place, "at most 1")
    if teacher is None:
        raise refuse("student", address, "with a teacher to shrink", "name the teacher's network, or a student such as tiny-cnn")
    teacher = teacher.inner if isinstance(teacher, Rescaled) else teacher
    small = shrink(teacher, fraction)
    view, encode = small.sees if isinstance(small, HF) else (_view(data) if type(teacher) in OWN else None, None)
    return Loaded(_rescaled(small, data), trained=False, view=view, encode=encode)


def _view(data: Data) -> Normalise | None:
    return Normalise(data.mean, data.std) if data.kind == "image" and data.mean is not None and data.std is not None else None


def _reference(at: Address, data: Data) -> Loaded:
    make, kinds, settings = NETS[at.scheme]
    known = [k for k, v in settings.items() if isinstance(v, int)]
    if at.place:
        raise refuse(
            "model",
            at.text,
            f"'{at.scheme}' alone, or with options: {', '.join(f'?{k}=' for k in known)}",
            "leave out what stands behind the colon",
        )
    at.only(known)
    if data.kind not in kinds:
        fit = [n for n, (_, k, _) in NETS.items() if data.kind in k]
        raise refuse(
            "model",
            at.text,
            f"a network for {data.kind} rows: {', '.join(fit)}",
            f"'{at.scheme}' reads {' and '.join(kinds)} rows",
        )
    chosen: dict[str, Any] = settings | {k: whole(k, v, *RANGES[k]) for k, v in at.options.items()}
    shape = (len(data.vocabulary),) if data.vocabulary is not None else data.shape
    smallest = max(4, 2 ** (len(settings.get("stages", ())) - 1))
    if data.kind == "image" and min(shape[1:]) < smallest and "mlp" not in at.scheme:
        raise refuse(
            "model", at.text, f"for pictures of at least {smallest}x{smallest}, these are {shape[1]}x{shape[2]}", "use tiny-mlp"
        )
    return Loaded(_rescaled(make(shape, data.outputs, **chosen), data), trained=False, view=_view(data))


def _rescaled(net: nn.Module, data: Data) -> nn.Module:
    """A fresh network learns a target of any unit as easily as one of unit spread."""
    return Rescaled(net, data.y_mean, data.y_std) if data.task == "regress" else net


@contextmanager
def _here() -> Iterator[None]:
    """Modules of the working folder can be imported, as they can be in `python -m`."""
    sys.path.insert(0, os.getcwd())
    try:
        yield
    finally:
        sys.path.remove(os.getcwd())


def _callable(at: Address, data: Data) -> Loaded:
    at.only(("trained",))
    trained = switch("trained", at.options.get("trained", "false"))
    module, _, name = at.place.partition(":")
    if not module or not name:
        raise refuse("model", at.text, "torch:package.module:callable", "for instance torch:nets:make, of a file nets.py here")
    with _here():
        try:
            held = importlib.import_module(module)
        except Exception as e:  # whatever a module of the user's does
            raise refuse(
                "model",
                at.text,
                f"a module that can be imported here ({type(e).__name__}: {e})",
                "run where it lies, or install it",
            ) from e
    make = getattr(held, name, None)
    if isinstance(make, nn.Module):
        return Loaded(make, trained)
    if not callable(make):
        raise refuse("model", at.text, f"a callable in {module}{nearest(name, vars(held))}")
    try:
        takes = inspect.signature(make).parameters
    except ValueError:  # of C
        raise refuse("model", at.text, "a callable that says what it takes", "write a function around it") from None
    key = next((k for k in ("classes", "num_classes") if k in takes), None)
    known = [k for k, p in takes.items() if k != key and p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if known:
        raise refuse(
            "model",
            at.text,
            f"a callable that needs nothing but classes; it asks for {', '.join(known)}",
            "write a function around it",
        )
    return Loaded(called(lambda: make(**({key: data.outputs} if key else {})), at.text), trained)


def called(make: Callable[[], Any], name: str) -> nn.Module:
    """The network that a function of the user's makes. Raises `Refused` where it raises, or makes something else."""
    try:
        net = make()
    except Exception as e:
        mend = "call it yourself, or look at the traceback (--traceback)"
        raise refuse("model", name, f"a callable that makes a network; it raised {type(e).__name__}: {e}", mend) from e
    if not isinstance(net, nn.Module):
        told = f"a callable that returns an nn.Module; it returned {type(net).__name__}"
        raise refuse("model", name, told, "return the network")
    return net


def _file(at: Address, data: Data, teacher: nn.Module | None, trust_remote_code: bool) -> Loaded:
    from safetensors import SafetensorError, safe_open

    at.only(("arch",))
    path = found(at.place)
    if path is None or path.suffix != ".safetensors" or not path.is_file():
        raise refuse(
            "file",
            at.place,
            "a .safetensors file that exists",
            "pickled weights (.pt, .bin) are never opened: save them with safetensors",
        )
    try:
        with safe_open(path, "pt") as file:
            weights = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a dict)
            stated = (file.metadata() or {}).get("arch")
    except SafetensorError as e:
        raise refuse("file", str(path), f"a whole safetensors file ({e})", "it is damaged: save or fetch it again") from None
    arch = at.options.get("arch", stated)
    if arch and "arch" not in at.options:
        only_data("arch", arch, path, f"give the network yourself: file:{path}?arch=…")
        if parse(arch).scheme == "file":
            raise refuse("arch", arch, f"a network, as it stands in {path}", "give the network yourself")
    if not arch:
        raise refuse("arch", None, "the address of the network that the weights are for", f"file:{path}?arch=tiny-cnn")
    loaded = load(arch, data=data, teacher=teacher, trust_remote_code=trust_remote_code)
    fits = {k: tuple(v.shape) for k, v in loaded.net.state_dict().items()}
    has = {k: tuple(v.shape) for k, v in weights.items()}
    for what, keys in (("lacks", fits.keys() - has.keys()), ("has unknown", has.keys() - fits.keys())):
        if keys:
            raise refuse(
                "file",
                str(path),
                f"weights for {arch}; it {what} {', '.join(sorted(keys)[:3])} ({len(keys)} in all)",
                "give the arch it was saved from",
            )
    kinds = {k: v.is_floating_point() for k, v in loaded.net.state_dict().items()}
    for k, shape in fits.items():
        if weights[k].is_floating_point() != kinds[k]:
            told = f"weights for {arch}; {k} is {weights[k].dtype}, " + (
                "not floating-point" if kinds[k] else "not whole numbers"
            )
            raise refuse("file", str(path), told, "quantised weights are for other programs: give the full ones")
        if has[k] != shape:
            raise refuse(
                "file",
                str(path),
                f"weights for {arch}; {k} is {list(has[k])}, not {list(shape)}",
                "give the arch, width and classes it was saved with",
            )
    loaded.net.load_state_dict(weights)
    hub.sound(loaded.net, "file", str(path))
    loaded.trained = True
    return loaded
