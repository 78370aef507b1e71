"""Swing distillation."""

import pytest
import torch

from understudy.core import registry
from understudy.core.batch import Batch
from understudy.core.errors import Refused
from understudy.core.fit import turns
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.parts.divergence import kl
from understudy.worlds import WORLDS

pytestmark = pytest.mark.usefixtures("double")


def made(**fields):
    return start(registry.get("swing-distillation")(**fields), WORLDS["secrets"](0, small=True), 0, device="cpu")


def soft(run):
    with stream("here"):
        return turns(run)[1]["student"]["soft"]


def test_every_place_at_its_own_temperature():
    run = made(low=0.5, high=8.0, noise=0.0)
    batch = run.world.rows(0)
    private = torch.linspace(0, 1, batch.y.numel()).view_as(batch.y)
    s, u = (run[name](batch.x).dense().detach() for name in ("student", "teacher"))
    total = 0.0
    for i in range(len(batch.y)):
        for j in range(batch.y.shape[1]):
            t = 0.5 + 7.5 * private[i, j]
            p, q = (u[i, j] / t).softmax(-1), (s[i, j] / t).softmax(-1)
            total += (p * (p.log() - q.log())).sum().item()
    found = run.method.loss(run, Batch({**batch, "private": private}))["soft"]
    assert found.item() == pytest.approx(total / batch.y.numel())


def test_without_swing_and_noise_it_is_plain_distillation():
    run = made(low=2.0, high=2.0, noise=0.0)
    batch = run.world.rows(0)
    s, u = run["student"](batch.x), run["teacher"](batch.x)
    assert soft(run).item() == pytest.approx(kl(u, s, 2.0).item() / 4)


def test_a_high_temperature_hushes_the_teacher_and_t_squared_would_not():
    """What a place asks of the student's logits: 1/t^2 of the difference at high t; with t^2 before it, the whole of it."""
    s, u = torch.randn(1, 9, requires_grad=True), torch.randn(1, 9)
    pull = {t: torch.autograd.grad(kl(u, s, t), s)[0] for t in (50.0, 500.0)}  # with t^2
    assert torch.allclose(pull[50.0], pull[500.0], rtol=0.05, atol=1e-3)
    plain = {t: g.norm().item() / t**2 for t, g in pull.items()}
    assert plain[50.0] / plain[500.0] == pytest.approx(100, rel=0.1)


def test_noise_is_on_the_teacher_alone_and_differs_from_step_to_step():
    run = made(high=1.0, noise=1.0)
    a, b = made(high=1.0, noise=0.0), soft(run)
    assert b > soft(a), "noise takes the target away from what the student says"
    again = soft(run)
    run.step = 1
    assert again == b != soft(run)


def test_a_world_that_does_not_say_what_is_private_is_refused():
    with pytest.raises(Refused, match="private"):
        start(registry.get("swing-distillation")(), WORLDS["texts"](0, small=True), 0, device="cpu")
