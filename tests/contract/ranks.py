"""One of several processes that share each run: trains every method named, and writes down what came of it.

RANK=0 WORLD_SIZE=2 ... python ranks.py FOLDER METHOD...
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from understudy.core import devices, registry
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.world import recast
from understudy.worlds import WORLDS

STEPS, BATCH = 3, 8


def train(name: str, ranks: int = 1, device: str | None = None) -> dict[str, Tensor]:
    """All that is learned in a few steps of `ranks` times BATCH rows, on digits without batch normalisation."""
    torch.set_default_dtype(torch.double)
    where = registry.get(name).card.world
    world = WORLDS[where](0, small=True, **({"norm": False} if where.startswith("digits") else {}))
    world = recast(world, batch=BATCH * ranks, steps=24)
    run = fit(start(registry.get(name)(), world, 1, device=device), STEPS)
    run.agree()
    return {k: v.detach().clone() for k, v in run.nets.state_dict().items()}


def main(folder: Path, names: list[str]) -> None:
    torch.set_num_threads(1)
    rank = devices.accelerator().process_index
    assert devices.accelerator().num_processes == 2, "this process doesn't see the other one"
    for name in names:
        try:
            save_file({f"{k}": v.contiguous() for k, v in train(name).items()}, folder / f"{name}.{rank}.safetensors")
        except Exception:
            (folder / f"{name}.{rank}.error").write_text(traceback.format_exc())
    torch.distributed.destroy_process_group()
    os._exit(0)  # gloo's threads may outlive what they stand on, and abort a process that is done


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
