"""Approximate likelihood matching."""

import torch

from facts.given import terms
from understudy.core.batch import Batch, Views
from understudy.methods.language.alm import ALM
from understudy.parts.lazy import Head, Lazy
from understudy.parts.tongues import likelihood_match
from understudy.worlds.tongues import tongues


def test_a_word_that_the_other_says_in_two() -> None:
    """The student's one word of probability 1/4 is the teacher's two of 1/2 each: nothing to learn. At 1/2 there is."""
    lazy = lambda z: Lazy((Head(z, torch.eye(z.shape[-1])),), z.shape[-1])
    view = lambda span: {"input_ids": torch.zeros_like(span), "span": span, "next": torch.zeros_like(span)}
    x = Views(student=view(torch.tensor([[0]])), teacher=view(torch.tensor([[0, 0]])))
    batch = Batch(x=x, y=torch.tensor([[-1]]))
    how = lambda words: terms(
        ALM(t=2.0, w=0.5),
        tongues(0, small=True),
        batch,
        student=lazy(torch.zeros(1, 1, words)),
        teacher=lazy(torch.zeros(1, 2, 2)),
    )["spans"]
    assert how(4).abs() < 1e-6
    quarter, half = torch.tensor(0.25).log(), torch.tensor(0.5).log()
    assert torch.isclose(how(2), 0.5 * 2.0 * likelihood_match(quarter, half, 2.0))
