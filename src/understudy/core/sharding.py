"""A network too large for one device: its parameters in parts, one a process (FSDP2), and whole again where it is judged or saved.

Every function here is called by all processes at once.
"""

from __future__ import annotations

import copy
import os
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core import devices
from understudy.core.batch import each


def wanted() -> bool:
    """Whether the launch asks for FSDP2 (`accelerate launch --use_fsdp --fsdp_version 2`); Accelerate itself forgets it on CPUs."""
    asked = os.environ.get("ACCELERATE_USE_FSDP", "false") == "true" and os.environ.get("FSDP_VERSION", "1") == "2"
    return asked and devices.accelerator().num_processes > 1


def shard(net: nn.Module) -> nn.Module:
    """The same network, sharded in place: block by block where it has blocks, then the rest. It must be asked through its forward, or, where
    it writes, through `write`."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    place = devices.accelerator()
    whole = copy.deepcopy(net)
    mesh = init_device_mesh(place.device.type, (place.num_processes,))
    for blocks in [m for m in net.modules() if isinstance(m, nn.ModuleList)]:
        for block in blocks:
            fully_shard(block, mesh=mesh)
    fully_shard(net, mesh=mesh)
    if hasattr(net, "write"):
        register_fsdp_forward_method(net, "write")  # type: ignore[arg-type]
    object.__setattr__(net, "_whole", whole.to("meta"))  # not a part of the network
    return net


def gather(value: Any) -> Any:
    """Tensors that lie in parts, whole, wherever they are inside."""
    from torch.distributed.tensor import DTensor

    return each(value, lambda t: t.full_tensor() if isinstance(t, DTensor) else t)


def scatter(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor in parts, as another one is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements) if isinstance(like, DTensor) else value


def whole(net: nn.Module) -> nn.Module:
    """A copy that any process can use alone; of a network in one piece, a plain copy."""
    plain = net.__dict__.get("_whole")
    if plain is None:
        return copy.deepcopy(net)
    made: nn.Module = copy.deepcopy(plain).to_empty(device=next(net.parameters()).device)
    made.load_state_dict({k: v.detach().clone() for k, v in gather(dict(net.state_dict())).items()})
    for a, b in zip(made.modules(), net.modules(), strict=True):
        a.training = b.training
    return made


def load(net: nn.Module, saved: dict[str, Tensor]) -> None:
    """`load_state_dict` of whole tensors into a network that may lie in parts."""
    own = net.state_dict()
    net.load_state_dict({k: scatter(v, own[k]) if k in own else v for k, v in saved.items()})


def load_optimiser(opt: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """The same for an optimiser's state: what has a parameter's shape lies as the parameter does."""
    params = [p for g in opt.param_groups for p in g["params"]]
    state = {
        i: {k: scatter(v, params[i]) if isinstance(v, Tensor) and v.shape == params[i].shape else v for k, v in s.items()}
        for i, s in saved["state"].items()
    }
    opt.load_state_dict({**saved, "state": state})
