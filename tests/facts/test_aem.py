"""AEM: the entropy of attention, by hand and by its derivative."""

import math

import pytest
import torch
from torch import nn

from understudy.core.run import start
from understudy.methods import aem
from understudy.parts.divergence import entropy
from understudy.worlds.bags import bags


def terms(method, change):
    """The method's terms where the attention's last layer was changed."""
    run = start(method, bags(0, small=True), 0, device="cpu")
    with torch.no_grad():
        change(run["student"].attention.w.weight)
    return run.method.loss(run, run.rows())


def test_even_attention_has_the_largest_entropy_and_settled_attention_none(double):
    assert terms(aem(weight=0.5), nn.init.zeros_)["entropy"].item() == pytest.approx(-0.5 * math.log(8))
    settled = terms(aem(weight=0.5), lambda w: w.copy_(1e6 * torch.randn_like(w)))["entropy"].item()
    assert -0.5 * math.log(8) < settled <= 0 and settled == pytest.approx(0, abs=1e-3)


def test_its_gradient_is_that_of_the_equation(double):
    """dH / d logit_k = -a_k (log a_k + H): down for what gets much, up for what gets little."""
    logits = (3 * torch.randn(1, 7)).requires_grad_()
    entropy(logits, each=False).backward()
    a = logits.detach().softmax(-1)
    assert torch.allclose(logits.grad, -a * (a.log() - (a * a.log()).sum()))


def test_weight_0_is_the_labels_alone(double):
    got = terms(aem(weight=0.0), lambda w: w)
    assert got["entropy"].item() == 0 and set(got) == {"hard", "entropy"}
