"""PhaseNet-DAS: which picks the student learns."""

import torch

from understudy.core.registry import get
from understudy.core.run import start
from understudy.parts.picks import associated, picks
from understudy.worlds.fibre import fibre

das = get("phasenet-das")


def batch_of(method):
    run = start(method, fibre(0, small=True), 0, device="cpu")
    return run, method.source(run)


def test_the_filter_keeps_what_one_earthquake_explains_and_changes_no_pick():
    run, all_of = batch_of(das(sure=0.0, filter="none"))
    _, some_of = batch_of(das(sure=0.0, least=1, sigma=2.0))
    assert torch.equal(all_of.pick, picks(run["teacher"](all_of.x), 0.0)[0])
    kept = associated(all_of.pick, run.world.slowness, 2.0, 1)
    assert torch.equal(some_of.pick.isfinite(), kept) and torch.equal(some_of.pick[kept], all_of.pick[kept]) and not kept.all()


def test_where_nothing_is_sure_nothing_is_learned():
    run, batch = batch_of(das(sure=1.0))
    got = run.method.loss(run, batch)
    assert batch.pick.isnan().all() and got["picks"].item() == 0 == got["hard"].item()


def test_noise_is_the_students_alone_and_its_size_is_the_field():
    run, batch = batch_of(das(noise=0.5))
    added = (batch.heard - batch.x).flatten(1).std(1)
    assert torch.equal(batch.x, run.rows().x) and (added > 0).all() and (added < 0.6).all()
    _, quiet = batch_of(das(noise=0.0))
    assert torch.equal(quiet.heard, quiet.x)
