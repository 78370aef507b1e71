"""Non-saturating losses of a generator and its critic; Goodfellow et al. 2014, sec. 3. Scores are log-odds of being real."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from understudy.parts.divergence import wide


def tell(real: Tensor, made: Tensor) -> Tensor:
    """What a critic brings down: mean softplus(-real) + mean softplus(made), which is 2 log 2 where it can't tell; [N], [M] -> []"""
    return F.softplus(-wide(real)).mean() + F.softplus(wide(made)).mean()


def pass_as_real(made: Tensor) -> Tensor:
    """What a generator brings down: mean softplus(-made); its gradient doesn't vanish where the critic is sure; [N] -> []"""
    return F.softplus(-wide(made)).mean()
