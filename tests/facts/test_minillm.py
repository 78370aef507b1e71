"""MiniLLM: against the gradient of the sequence's KL, by brute force over all texts of three words of a vocabulary of three."""

import itertools

import pytest
import torch
from torch import nn

from understudy.core.batch import Batch
from understudy.core.registry import get
from understudy.core.run import Run
from understudy.parts.divergence import reverse_kl
from understudy.parts.writing import to_go
from understudy.worlds.texts import texts

pytestmark = pytest.mark.usefixtures("double")

V, T = 3, 3
ALL = torch.tensor(list(itertools.product(range(V), repeat=T)))


class Table(nn.Module):
    """Logits of the next word after every prefix, by its number; [N, T] words -> [N, T, V] of each from those before it."""

    def __init__(self, seed):
        super().__init__()
        self.z = nn.Parameter(torch.randn(T, V ** (T - 1), V, generator=torch.Generator().manual_seed(seed)))

    def forward(self, words):
        prefix = [sum((words[:, j] * V**j for j in range(t)), torch.zeros(len(words), dtype=torch.long)) for t in range(T)]
        return torch.stack([self.z[t, prefix[t]] for t in range(T)], 1)

    def logp(self, words):
        return self(words).log_softmax(-1).gather(-1, words[..., None])[..., 0]


def expected(**fields):
    """The gradient of single + long, weighted by how likely each text is to be drawn from the mixture, and the two tables."""
    s, u = Table(0), Table(1)
    method = get("minillm")(whiten="no", **fields)
    run = Run(method, texts(0, small=True), 0, nn.ModuleDict({"student": s, "teacher": u}), {}, {})
    ls, lu = s.logp(ALL).detach(), u.logp(ALL).detach()
    drawn = (method.alpha * lu.exp() + (1 - method.alpha) * ls.exp()).prod(1)
    for words, p in zip(ALL[:, None], drawn, strict=True):
        out = method.loss(run, Batch(x=words, y=words, text=Batch(x=words, y=words)))
        (p * (out["single"] + out["long"])).backward()
    return s.z.grad.clone(), s, u


def sequence_kl(s, u):
    ls, lu = s.logp(ALL).sum(1), u.logp(ALL).sum(1).detach()
    return (ls.exp() * (ls - lu)).sum()


def test_on_average_it_is_the_gradient_of_the_sequences_kl():
    grad, s, u = expected(alpha=0.0, norm="no")
    s.z.grad = None
    sequence_kl(s, u).backward()
    assert torch.allclose(grad, s.z.grad / T, atol=1e-12)  # ours is a mean over words


def first_word(alpha, *terms):
    """The gradient of these terms towards the first word's logits, on average over texts drawn from the mixture."""
    s, u = Table(0), Table(1)
    run = Run(
        get("minillm")(alpha=alpha, whiten="no"), texts(0, small=True), 0, nn.ModuleDict({"student": s, "teacher": u}), {}, {}
    )
    drawn = (alpha * u.logp(ALL).exp() + (1 - alpha) * s.logp(ALL).exp()).prod(1).detach()
    for words, p in zip(ALL[:, None], drawn, strict=True):
        out = run.method.loss(run, Batch(x=words, y=words, text=Batch(x=words, y=words)))
        (p * sum(out[k] for k in terms)).backward()
    return s.z.grad[0, 0]


def test_a_mixture_with_the_teacher_is_made_up_for_by_the_words_weight():
    """Exactly in what the first word costs at once; what it costs later depends on later words, which the mixture draws and w_1 doesn't weigh."""
    assert torch.allclose(first_word(0.0, "single"), first_word(0.9, "single"), atol=1e-12)
    assert not torch.allclose(first_word(0.0, "long"), first_word(0.9, "long"), atol=1e-4)


def test_single_is_the_exact_kl_at_each_word_and_long_the_mean_of_later_rewards():
    s, u, words = Table(0), Table(1), ALL[5:6]
    run = Run(
        get("minillm")(alpha=0.0, whiten="no"), texts(0, small=True), 0, nn.ModuleDict({"student": s, "teacher": u}), {}, {}
    )
    out = run.method.loss(run, Batch(x=words, y=words, text=Batch(x=words, y=words)))
    r, logp = (u.logp(words) - s.logp(words))[0], s.logp(words)[0]
    assert out["single"].item() == pytest.approx(reverse_kl(u(words), s(words)).item())
    assert out["long"].item() == pytest.approx(-((r[1] + r[2]) / 2 * logp[0] + r[2] * logp[1]).item() / 3)


def test_what_is_to_come():
    r, wrote = torch.tensor([[9.0, 1, 2, 4, 9]]), torch.tensor([[False, True, True, True, False]])
    assert to_go(r, wrote, mean=False).tolist() == [[0, 6, 4, 0, 0]] and to_go(r, wrote, mean=True).tolist() == [[0, 3, 4, 0, 0]]
