"""A teacher that remembers what it was before it was fine-tuned."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.func import functional_call


class Tuned(nn.Module):
    """x -> what the tuned network answers; with `before=True`, what it answered when it was only pretrained.

    Both are one architecture, whose modules are tapped under the same names in either state; the heads may differ in width.
    """

    def __init__(self, tuned: nn.Module, pretrained: nn.Module) -> None:
        super().__init__()
        self.inner, self.before = tuned, pretrained

    def forward(self, x: Any, before: bool = False) -> Any:
        return functional_call(self.inner, self.before.state_dict(), (x,)) if before else self.inner(x)
