"""ERNIE-Tiny: each stage changes one of teacher, data and loss, and the latent loss is against the teacher of its stage."""

import itertools
import math

import pytest

from understudy.core.errors import Refused
from understudy.core.run import start
from understudy.methods import ernie_tiny
from understudy.parts.blocks import uniform
from understudy.worlds.taggers import taggers


@pytest.fixture
def run():
    return start(ernie_tiny(), taggers(1, small=True), 1, device="cpu")


def test_four_stages(run):
    """Of 24 steps six each: which teacher is asked, whether the rows have labels, and which terms there are."""
    seen, asked = [], []
    run["teacher"].register_forward_pre_hook(lambda _m, x: asked.append("pretrained" if x[1:] == (True,) else "tuned"))
    for step in range(run.world.steps):
        run.step = step
        batch = run.method.source(run)
        terms = run.method.loss(run, batch)
        seen.append((asked[-1], "task" if (batch.y >= 0).any() else "general", " ".join(terms)))
    latent = "hidden attention"
    stages = [("pretrained", "general", latent), ("tuned", "general", latent), ("tuned", "task", latent),
              ("tuned", "task", latent + " soft hard")]  # fmt: skip
    assert seen == [stage for stage in stages for _ in range(6)] and len(asked) == 24
    for a, b in itertools.pairwise(stages):
        assert sum(x != y for x, y in zip(a, b)) == 1


@pytest.mark.parametrize(("step", "which"), [(0, "before"), (6, "inner")])
def test_hidden_states_of_the_teacher_of_that_stage(run, step, which):
    run.step, batch = step, run.rows(step=step)
    real = batch.x["attention_mask"] > 0
    s = run["student"].bert(**batch.x, output_hidden_states=True).hidden_states[1:]
    u = getattr(run["teacher"], which).bert(**batch.x, output_hidden_states=True).hidden_states[1:]
    want = sum((run["project"](h) - u[n])[real].square().mean().item() for h, n in zip(s, uniform(len(s), len(u))))
    assert math.isclose(run.method.loss(run, batch)["hidden"].item(), want, rel_tol=1e-5)


def test_a_world_of_one_phase_is_the_task():
    one = start(ernie_tiny(), taggers(1, small=True, phase=lambda _: 0), 1, device="cpu")
    one.step = 20
    assert set(one.method.loss(one, one.rows())) == {"hidden", "attention", "soft", "hard"}


def test_a_teacher_without_a_past_is_refused_where_it_would_be_asked():
    plain = taggers(1, small=True).teacher().inner
    with pytest.raises(Refused, match="teachers.Tuned"):
        start(ernie_tiny(), taggers(1, small=True, given_teacher=plain), 1, device="cpu")
    run = start(ernie_tiny(enhanced=1.0), taggers(1, small=True, given_teacher=plain), 1, device="cpu")
    assert run.method.loss(run, run.rows())["hidden"].isfinite()
