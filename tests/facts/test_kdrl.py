"""KDRL."""

import pytest
import torch

from understudy.core import registry
from understudy.core.fit import turns
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.worlds import WORLDS

pytestmark = pytest.mark.usefixtures("double")


def made(**fields):
    run = start(registry.get("kdrl")(**fields), WORLDS["sums"](0, small=True), 0, device="cpu")
    with stream("here"):
        return run, *turns(run)


def test_each_term_by_hand_word_by_word():
    run, batch, terms = made(group=4, beta=0.5)
    s, u = (run[name](batch.tokens).log_softmax(-1) for name in ("student", "teacher"))
    batch["reward"] = (torch.arange(len(batch.reward)) % 3 == 0).double()
    with torch.no_grad():
        out, reward, guide, n = run.method.loss(run, batch), 0.0, 0.0, 0
    r = batch.reward.view(4, 8)
    for i in range(32):
        a = (batch.reward[i] - r[:, i % 8].mean()) / (r[:, i % 8].std() + 1e-6)
        for at in range(batch.tokens.shape[1] - 1):
            if batch.mask[i, at]:
                word = batch.tokens[i, at + 1]
                reward, guide, n = reward - a, guide + (s[i, at, word] - u[i, at, word]) ** 2 / 2, n + 1
    assert out["reward"].item() == pytest.approx((reward / n).item(), abs=1e-12)
    assert out["guide"].item() == pytest.approx(0.5 * (guide / n).item()) == pytest.approx(terms["student"]["guide"].item())


def test_beta_falls_in_a_straight_line_to_its_floor():
    """From the published 5e-3 to the published 1e-3, which the defaults reach at step 80."""
    run, batch, _ = made()
    at = lambda step: (setattr(run, "step", step), run.method.loss(run, batch)["guide"].item())[1]
    whole = at(0) / 5e-3
    assert [at(s) / whole for s in (1, 40, 80, 500)] == pytest.approx([4.95e-3, 3e-3, 1e-3, 1e-3])


def test_the_teacher_is_heard_where_the_reward_says():
    heard = {
        m: registry.get("kdrl")(group=2, mask=m)._heard(torch.tensor([1.0, 0, 0, 0])).tolist()
        for m in ("none", "response", "group")
    }
    assert heard == {"none": [True] * 4, "response": [False, True, True, True], "group": [False, True, False, True]}
