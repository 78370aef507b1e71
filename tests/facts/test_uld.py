"""Universal logit distillation."""

import torch

from facts.given import terms
from understudy.core.batch import Batch
from understudy.methods.language.uld import ULD
from understudy.parts.lazy import Head, Lazy
from understudy.worlds.tongues import tongues


def test_names_of_words_and_padding_words_mean_nothing() -> None:
    """A student whose words are the teacher's in another order, and one more that it never says, is at the minimum."""
    lazy = lambda z: Lazy((Head(z, torch.eye(z.shape[-1])),), z.shape[-1])
    u = torch.randn(2, 3, 5)
    s = torch.cat([u[..., torch.randperm(5)], torch.full((2, 3, 1), -1e4)], -1)
    batch = Batch(x={"input_ids": torch.zeros(2, 3, dtype=torch.long)}, y=torch.full((2, 3), -1))
    found = terms(ULD(), tongues(0, small=True), batch, student=lazy(s), teacher=lazy(u))
    assert found["ranked"].abs() < 1e-5
    apart = terms(
        ULD(lam=1.0),
        tongues(0, small=True),
        batch,
        student=lazy(0 * s),
        teacher=lazy(torch.full_like(u, -1e4).index_fill(-1, torch.tensor([2]), 0.0)),
    )
    assert torch.isclose(apart["ranked"], torch.tensor(2 * 5 / 6)), "from a certain word to six even ones: 5/6 + 5 x 1/6"
