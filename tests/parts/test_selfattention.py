"""Relations in loops, with padding; nothing overflows."""

import pytest
import torch

from understudy.core.errors import Refused
from understudy.parts.selfattention import heads_of, real, relation, relation_kl


def test_padding_is_neither_seen_nor_asked():
    x, y = torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    mask = torch.arange(5) < torch.tensor([5, 3])[:, None]
    loud = torch.where(mask[..., None], x, 1e4)
    kl = lambda a, b: relation_kl(relation(a, a, mask, 2), relation(b, b, mask, 2), mask)
    assert kl(x, y) == kl(loud, torch.where(mask[..., None], y, -1e4)) > 0 == kl(x, x)
    assert not relation(x, x, mask, 2)[1, :, :, 3:].exp().any()


def test_any_size_is_finite():
    for dtype in (torch.bfloat16, torch.float, torch.double):
        a, b = (1e4 * torch.randn(2, 5, 4).to(dtype) for _ in "ab")
        mask = torch.tensor([[True] * 5, [True] + [False] * 4])
        b.requires_grad_()
        loss = relation_kl(relation(a, a, mask, 1), relation(b, b, mask, 1), mask)
        loss.backward()
        assert loss.isfinite() and b.grad.isfinite().all()


def test_heads_and_masks():
    x = torch.arange(8.0).view(1, 2, 4)
    assert heads_of(x, 2)[0, 1].tolist() == [[2, 3], [6, 7]]
    with pytest.raises(Refused, match="heads=3"):
        heads_of(x, 3)
    assert real(x, x).all() and real({"attention_mask": torch.tensor([[1, 0]])}, x).tolist() == [[True, False]]
