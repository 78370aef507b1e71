"""Rows without labels, and an encoder that is asked afterwards what it has learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.batch import Batch
from understudy.parts.probe import Probe
from understudy.parts.project import pooled
from understudy.worlds._sealed import Splits
from understudy.worlds.digits import Part
from understudy.worlds.rows import Rows, answers


class Hidden(Splits):
    """train, whose labels are hidden; the same with its labels for the probe; valid; and a test split that is sealed while
    anything learns; without one, at all times."""

    def __init__(self, train: Part, valid: Part, test: Part | None = None) -> None:
        super().__init__(Part(train.x, torch.full_like(train.y, -1)), valid, test)
        self.told = train


@dataclass
class Unlabelled(Rows):
    """A world of `Hidden` data. What an encoder is worth: the share of rows that a linear probe on its frozen features answers
    right, fitted on the training rows with their labels (`parts.probe.Probe`, ridge regression in closed form)."""

    classes: int = 10

    def measure(self, made: nn.Module | Batch, split: Any) -> dict[str, float]:
        assert isinstance(made, nn.Module), "an encoder is asked for, not a data set"
        told = self.data.told
        probe = Probe(self.features(made, told.x), told.y, self.classes)
        return {"accuracy": probe.right(self.features(made, split.x), split.y)}

    def features(self, made: nn.Module, x: Tensor) -> Tensor:
        """What the encoder makes of rows, a vector each; [N, ...] -> [N, D]"""
        return pooled(answers(made, x))
