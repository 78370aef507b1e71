"""NSA: where objects are, what is level, and that whoever is undisturbed is calm."""

import math

import pytest
import torch

from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.methods import nsa_uda
from understudy.methods.detection.nsa_uda import apart, cells, level
from understudy.parts.relation import unit
from understudy.worlds.foggy import foggy


def begun(**how):
    run = start(nsa_uda(**how), foggy(0, small=True), 0, device="cpu")
    with stream(0), torch.no_grad():
        return run, run.method.source(run)


def test_calm_is_zero_where_nothing_is_disturbed_and_the_networks_agree(double):
    run, batch = begun(colour=0.0, noise=0.0, sure=0.4)
    assert batch.sure.any()
    assert run.method.loss(run, batch)["calm"].item() == pytest.approx(0, abs=1e-12)
    run, batch = begun(sure=0.4)
    assert run.method.loss(run, batch)["calm"] > 0


def test_cells_in_a_box_against_a_loop():
    boxes, sure = torch.tensor([[[3.0, 0, 9, 7], [0, 8, 48, 48]]]), torch.tensor([[True, False]])
    got = cells(boxes, sure, torch.zeros(1, 1, 12, 12), torch.zeros(1, 1, 48, 48)).view(12, 12)
    want = [[3 < 4 * j + 2 < 9 and 0 < 4 * i + 2 < 7 for j in range(12)] for i in range(12)]
    assert got.tolist() == want and got.any()


def test_level_and_apart_by_hand():
    x = torch.tensor([[[1.0, 5.0], [3.0, 5.0]]])
    torch.testing.assert_close(level(x), torch.tensor([[[-1.0, 0.0], [1.0, 0.0]]]), atol=1e-4, rtol=0)
    assert apart(x, x + torch.tensor([0.0, 2.0]), torch.tensor([[True, False]])) == 2
    assert apart(x, x + 1, torch.zeros(1, 2, dtype=torch.bool)) == 0


def test_instances_against_a_loop(double):
    run, batch = begun(light=1.0, sure=0.4)
    got = run.method.loss(run, batch)["instances"].item() / 0.1
    _, f = run.tap("student", "penultimate", batch.light, batch.grid)
    g, kinds = unit(batch.g), batch.stands
    centres = {k: unit(g[kinds == k].mean(0)) for k in kinds.unique().tolist()}
    total, count = 0.0, 0
    for f_i, y in zip(unit(f.detach()).flatten(0, 1), kinds.flatten().tolist(), strict=True):
        if y < 5:
            below = sum((0.1 if k == 5 else 1.0) * math.exp(f_i @ c) for k, c in centres.items())
            total, count = total - math.log(math.exp(f_i @ centres[y]) / below), count + 1
    assert count and got == pytest.approx(total / count)
