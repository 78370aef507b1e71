"""Distiller: a pipeline of choices."""

import pytest
import torch

from understudy.core.fit import turns
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.methods.feature.distiller import Distiller
from understudy.parts.information import cka, mi_alpha
from understudy.parts.project import pooled
from understudy.parts.relation import unit
from understudy.worlds.phrases import phrases


def run_of(**how):
    return start(Distiller(**how), phrases(0, small=True), 1, device="cpu")


def step(run):
    with stream(run.seed, run.step):
        batch, terms = turns(run)
    return batch, terms["student"]


@pytest.mark.parametrize("inside", ["mi", "cka", "mse"])
def test_the_last_states_are_compared_as_asked(inside):
    run = run_of(inside=inside, w=2.0, alpha=0.5)
    batch, terms = step(run)
    h, g = (pooled(run.tap(n, "stage:-1", batch.x)[1]) for n in ("student", "teacher"))
    h = run["project"][0](h)
    told = {"mi": mi_alpha(unit(h) @ unit(g).T / 0.2, 0.5), "cka": cka(h, g), "mse": -(h - g).square().mean()}[inside]
    assert terms["inside"].item() == pytest.approx(-2 * told.item(), rel=1e-5)


def test_all_of_the_students_layers_or_the_last():
    assert [len(run_of(layers=m)["project"]) for m in ("last", "uniform")] == [1, 2]  # of a student of two


def test_words_are_left_out_whole():
    run = run_of(drop=1.0)
    batch, rows = step(run)[0], run.rows()
    left = batch.x.sum(-1)
    assert set(left.unique().tolist()) == {0.0, 1.0} and torch.equal(batch.x, rows.x * left[..., None])
    assert torch.equal(step(run_of())[0].x, rows.x)


def test_mixed_rows_have_both_labels():
    run = run_of(mix=1.0, inside="none", a=0.0)
    batch, terms = step(run)
    s, share = run["student"](batch.x).log_softmax(1), batch.share
    pick = lambda y: -s.gather(1, y[:, None]).mean()
    assert terms["hard"].item() == pytest.approx((share * pick(batch.y) + (1 - share) * pick(batch.other)).item(), rel=1e-5)
    assert torch.allclose(batch.x.sum((1, 2)), torch.tensor(12.0))
