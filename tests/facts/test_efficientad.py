"""EfficientAD: what the student fails at."""

import pytest
import torch
from torch import nn

from facts.given import Given
from facts.reference import cases, inputs
from understudy.core.batch import Batch
from understudy.core.registry import get
from understudy.core.run import Run
from understudy.core.world import World, recast
from understudy.parts.anomaly import Standard, hardest


def finished(x: dict, mean: torch.Tensor, deviation: torch.Tensor) -> nn.Module:
    """What the method makes of networks that answer as the record says, all five rows being normal ones."""
    nets = {
        "teacher": Standard(Given(x["teacher"]), mean, deviation),
        "student": Given(x["student"]),
        "autoencoder": Given(x["autoencoder"]),
    }
    world = recast(World(), rows=lambda step, split: Batch(x=torch.zeros(5, 1)))
    return get("efficientad")(calibrate=1).result(Run(get("efficientad")(), world, 0, nn.ModuleDict(nets), {}, {}))


@cases("EfficientAD", "scores")
def test_scores_are_those_of_the_public_code(record, double):
    x, s = inputs(record), record["settings"]
    detector = finished(x, torch.tensor(s["mean"]), torch.tensor(s["std"]))
    assert detector.quantiles.flatten().tolist() == pytest.approx(s["quantiles"], rel=1e-9)
    assert detector(torch.zeros(5, 1)).tolist() == pytest.approx(s["scores"], rel=1e-9)
    assert detector.maps(torch.zeros(5, 1)).sum().item() == pytest.approx(record["value"], rel=1e-9)


@cases("EfficientAD", "hard features")
def test_hard_features_are_those_of_the_public_code(record, double):
    x, t = inputs(record), None
    deviation, mean = torch.std_mean(x["teacher"], (0, 2, 3), correction=0)
    t = Standard(Given(x["teacher"]), mean, deviation)(torch.zeros(1))
    assert hardest((t - x["student"][:, :3]).square(), record["settings"]["q"]).item() == pytest.approx(record["value"], rel=1e-9)


def test_only_the_hardest_tenth_is_learned_from():
    d = torch.arange(100.0, requires_grad=True)
    assert hardest(d, 0.9).item() == pytest.approx(94.5)  # the mean of 90 .. 99
    hardest(d, 0.9).backward()
    assert d.grad.nonzero().flatten().tolist() == list(range(90, 100))
    assert hardest(d, 0.0).item() == pytest.approx(49.5)
