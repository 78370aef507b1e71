"""Word-level knowledge distillation."""

import pytest
import torch

from facts.given import terms
from understudy.core.batch import Batch
from understudy.core.fit import turns
from understudy.core.registry import get
from understudy.core.run import start
from understudy.worlds import WORLDS
from understudy.worlds.texts import texts

pytestmark = pytest.mark.usefixtures("double")


def test_by_hand():
    """Two words, y = 0: s = (3/4, 1/4), u = (1/2, 1/2), so -log s(y) = log(4/3) and KL(u || s) = log(4/3) / 2 in a base of which
    log 4 - log 3 / 2 - log 2 is the rest."""
    s, u = torch.tensor([[[0.75, 0.25]]]).log(), torch.tensor([[[0.5, 0.5]]]).log()
    out = terms(get("word-kd")(a=0.25), texts(0, small=True), Batch(x=s, y=torch.tensor([[0]])), student=s, teacher=u)
    third = torch.tensor(4 / 3).log().item()
    assert out["hard"].item() == pytest.approx(0.75 * third)
    assert out["soft"].item() == pytest.approx(
        0.25 * (0.5 * torch.tensor(0.5 / 0.75).log() + 0.5 * torch.tensor(2.0).log()).item()
    )


def test_it_is_the_papers_cross_entropy_up_to_a_constant():
    """Its equation, a sum over places and words, on a whole batch: the gradients are equal."""
    run = start(get("word-kd")(a=0.7), WORLDS["texts"](0, small=True), 0, device="cpu")
    batch, out = turns(run)
    sum(out["student"].values()).backward()
    ours = torch.cat([p.grad.flatten().clone() for p in run["student"].parameters()])
    run["student"].zero_grad()
    s, u = (run[k](batch.x).dense().log_softmax(-1).flatten(0, 1) for k in ("student", "teacher"))
    word = -(u.exp() * s).sum(-1)
    (0.3 * -s.gather(1, batch.y.view(-1, 1))[:, 0] + 0.7 * word).mean().backward()
    assert torch.allclose(ours, torch.cat([p.grad.flatten() for p in run["student"].parameters()]), atol=1e-12)
