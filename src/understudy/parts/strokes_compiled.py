"""The three passes over a block of logits, each compiled into one: for a processor, where `UNDERSTUDY_COMPILE=1` asks for it.

The first block of a kind then takes some ten seconds and a C++ compiler, and what was compiled is kept for the next process.
"""

from __future__ import annotations

import torch

from understudy.parts import strokes

log_sum_exp, compare, slope = (torch.compile(f, dynamic=True) for f in (strokes.log_sum_exp, strokes.compare, strokes.slope))
fine = strokes.fine
