"""One of the processes that share a student by FSDP2: trains, takes it apart and puts it back half way, writes down what came of it.

accelerate launch --use_fsdp --fsdp_version 2 ... sharded.py FOLDER METHOD
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor

from understudy.core import checkpoint, devices, registry, sharding
from understudy.core.fit import fit
from understudy.core.run import Run, artefact, start
from understudy.core.world import Player, recast, sgd
from understudy.worlds.digits import digits

STEPS, BATCH = 4, 8


def begin(name: str, ranks: int = 1) -> Run:
    """Without batch normalisation, with momentum and clipping."""
    world = digits(0, norm=False)
    return start(registry.get(name)(), recast(world, batch=BATCH * ranks, player=Player(sgd(0.05, 0.9), clip=1.0)), 1)


def main(folder: Path, name: str) -> None:
    torch.set_num_threads(1)
    rank = devices.accelerator().process_index
    assert sharding.wanted()
    run = begin(name)
    assert all(isinstance(p, DTensor) for p in run.nets.parameters())
    fit(run, STEPS // 2)
    checkpoint.write(run, folder / name)
    fit(run, STEPS)
    straight = artefact(run).state_dict()
    torch.distributed.barrier()
    again = begin(name)
    fit(checkpoint.restore(again, checkpoint.read(folder / name / f"step-{STEPS // 2:09d}.safetensors")), STEPS)
    assert all(torch.equal(v, straight[k]) for k, v in artefact(again).state_dict().items())
    save_file({k: v.contiguous() for k, v in straight.items()}, folder / f"{name}.{rank}.safetensors")
    torch.distributed.destroy_process_group()
    os._exit(0)  # gloo's threads may outlive what they stand on, and abort a process that is done


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
