"""Improved distribution matching distillation."""

import pytest
import torch

from facts.reference import agrees, cases, inputs
from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.core.seeds import stream
from understudy.parts.diffusion import denoising, karras, matching
from understudy.parts.gan import pass_as_real, tell
from understudy.worlds import WORLDS


@cases("DMD2", "distribution matching")
def test_the_difference_of_scores_is_the_authors(record):
    x = inputs(record)
    agrees(record, matching(x["x"].requires_grad_(), x["true"], x["guess"]), x["x"])


@cases("DMD2", "fake score")
def test_the_fake_score_learns_as_the_authors_does(record):
    x, sigma = inputs(record), torch.tensor(record["settings"]["sigma"], dtype=torch.double)
    agrees(record, denoising(x["guess"].requires_grad_(), x["x"], sigma, record["settings"]["data"]), x["guess"])


@cases("DMD2", "critic and advice")
def test_critic_and_advice_are_the_authors(record):
    x = inputs(record)
    assert tell(x["real"], x["made"]).item() == pytest.approx(record["value"], rel=1e-9)
    assert pass_as_real(x["made"]).item() == pytest.approx(record["settings"]["advice"], rel=1e-9)


@cases("DMD2", "noise levels")
def test_noise_levels_are_the_authors(record):
    s = record["settings"]
    u = torch.tensor(s["at"], dtype=torch.double) / (s["steps"] - 1)
    assert karras(u, s["low"], s["high"]).tolist() == pytest.approx(s["sigma"], rel=1e-9)


def test_the_generator_moves_every_ratio_steps_and_the_others_always():
    turns = []
    run = start(get("dmd2")(ratio=3), WORLDS["mixture"](0, small=True), 0, device="cpu")
    fit(run, 7, watch=lambda run, _b, terms: turns.append("".join(sorted(k[0] for k in terms))))
    assert turns == ["cfs", "cf", "cf", "cfs", "cf", "cf", "cfs"]


def test_backward_simulation_hands_out_what_the_sampler_meets():
    """The input of step k is drawn as the sampler draws it: the same noise gives the same rows, level by level."""
    run = start(get("dmd2")(steps=4, high=80.0), WORLDS["mixture"](0, small=True), 0, device="cpu")
    sampler, met = artefact(run), {}
    sampler.net.register_forward_pre_hook(lambda _m, a: met.update({round(a[1][0].item(), 6): a[0]}))
    for step in range(30):
        with stream("here", step), torch.no_grad():
            batch = run.method.source(run)
        with stream("here", step):
            torch.randint(4, ())
            met.clear()
            sampler(torch.randn_like(batch.real))
        level = round(batch.level[0].item(), 6)
        if level < 79:
            assert torch.allclose(met[level], batch.noisy, atol=1e-6)
    assert [round(s, 2) for s in sampler.levels.tolist()] == [80.0, 17.53, 2.52, 0.17]
