"""Words that are hidden and asked for, as masked language models learn; drawn from the stream of the step."""

from __future__ import annotations

import torch
from torch import Tensor


def hide(
    ids: Tensor, ask: Tensor, rate: float, mask: int, vocab: int, *, words: Tensor | None = None, corrupt: bool = True
) -> tuple[Tensor, Tensor]:
    """Each token with the chance `rate`; -> what is read, and what is asked for, -1 elsewhere; [N, L] twice

    ask: which tokens may be hidden. words [N, L]: the number of each token's word in its row; all tokens of a word are hidden
    together (whole-word masking). corrupt: of the hidden, a tenth stays as it is and a tenth is another of `vocab` tokens (Devlin et
    al. 2019); else each is the token `mask`.
    """
    luck = torch.rand(ids.shape, device=ids.device)
    if words is not None:
        luck = luck.gather(1, words.clamp(min=0))
    hidden = (luck < rate) & ask
    read = ids.masked_fill(hidden, mask)
    if corrupt:
        fate, other = torch.rand(ids.shape, device=ids.device), torch.randint(vocab, ids.shape, device=ids.device)
        read = torch.where(hidden & (fate < 0.2), torch.where(fate < 0.1, ids, other), read)
    return read, ids.masked_fill(~hidden, -1)
