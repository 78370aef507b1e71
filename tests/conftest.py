"""What holds for all tests: one thread, no network, and nobody leaves torch otherwise than they found it."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_DATASETS_OFFLINE="1", OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false",
                  ACCELERATE_USE_CPU="true")  # fmt: skip

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def as_found() -> Iterator[None]:
    """Default dtype, threads and every random stream as they were, whatever a test does; each begins in the same stream."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    streams = torch.get_rng_state(), random.getstate(), np.random.get_state()
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)
    torch.set_rng_state(streams[0])
    random.setstate(streams[1])
    np.random.set_state(streams[2])


@pytest.fixture
def double() -> None:
    torch.set_default_dtype(torch.double)
