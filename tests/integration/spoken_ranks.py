"""One of the processes that share a language model: texts of unequal length, so that each has another number of tokens.

accelerate launch [--use_fsdp --fsdp_version 2] ... spoken_ranks.py FOLDER NAME
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor

from understudy.core import devices, registry, sharding
from understudy.core.batch import Batch
from understudy.core.fit import fit
from understudy.core.run import artefact, start
from understudy.core.world import recast
from understudy.worlds.texts import texts

STEPS, BATCH = 3, 4


def train(ranks: int = 1, signal: str = "online", parts: int = 1) -> dict[str, Tensor]:
    """The student after some steps of `ranks` times BATCH rows, of which the n-th is asked for its first n % 11 + 1 tokens."""
    torch.set_default_dtype(torch.double)
    world = texts(0, small=True, signal=signal)

    def rows(step: int, split: str = "train") -> Batch:
        batch = type(world).rows(here, step, split)
        asked = torch.arange(batch.y.shape[1]) <= (batch.row % 11)[:, None]
        return Batch({**batch, "x": batch.x | {"asked": asked}, "y": batch.y.masked_fill(~asked, -1)})

    here = recast(world, batch=BATCH * ranks, steps=24, parts=parts, rows=lambda *_: Batch())
    here.rows = rows
    run = start(registry.build({"name": "kd", "t": 1.0, "a": 0.5}), here, 1, device="cpu" if ranks > 1 else None)
    here.rank, here.ranks = run.world.rank, run.world.ranks
    if sharding.wanted():
        assert all(isinstance(p, DTensor) for p in run.nets.parameters()), "the teacher is sharded too"
    fit(run, STEPS)
    return {k: v.detach().clone() for k, v in artefact(run).state_dict().items()}


def main(folder: Path, name: str) -> None:
    torch.set_num_threads(1)
    rank = devices.accelerator().process_index
    signal = "on-policy" if name == "on-policy" else "online"
    save_file(
        {k: v.contiguous() for k, v in train(signal=signal, parts=2 if name == "parts" else 1).items()},
        folder / f"{name}.{rank}.safetensors",
    )
    torch.distributed.destroy_process_group()
    os._exit(0)  # gloo's threads may outlive what they stand on, and abort a process that is done


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
