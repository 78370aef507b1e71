"""Logits that aren't there yet: what they would be, and what can be done to them."""

from __future__ import annotations

import pytest
import torch

from understudy.core.errors import Refused
from understudy.parts.lazy import Head, Lazy, add_product, pieces, product, wide


def lazy(n: int = 2, words: int = 7, width: int = 3, asked: torch.Tensor | None = None, **changes: float) -> Lazy:
    return Lazy((Head(torch.randn(n, 4, width), torch.randn(words + 2, width), torch.randn(words + 2), **changes),), words, asked)


def test_dense_is_the_head_s_answer(double: None) -> None:
    q = lazy(scale=0.5, cap=2.0, factor=3.0)
    h = q.heads[0]
    assert h.bias is not None
    want = 3 * 2 * torch.tanh(0.5 * (h.hidden @ h.weight.mT + h.bias) / 2)[..., :7]
    torch.testing.assert_close(q.dense(), want)
    assert q.shape == want.shape
    flat = q.rows()
    for rows, words in ((slice(0, 8), slice(0, 7)), (slice(3, 5), slice(2, 6))):
        torch.testing.assert_close(flat.heads[0].logits(rows, words), want.flatten(0, 1)[rows, words])


def test_it_adds_and_multiplies(double: None) -> None:
    a, b = lazy(), lazy(width=5)
    torch.testing.assert_close((2 * a + b * -0.5).dense(), 2 * a.dense() - b.dense() / 2)


def test_rows_are_the_places_asked_for(double: None) -> None:
    weights = torch.tensor([[0.0, 2.0, 0.0, 0.5], [1.0, 0.0, 0.0, 0.0]])
    q = lazy()
    rows = q.at(weights).rows()
    assert len(rows) == 3
    assert rows.asked is not None and rows.asked.tolist() == [2.0, 0.5, 1.0]
    torch.testing.assert_close(rows.dense(), q.dense()[weights > 0])
    assert q.at(weights > 0).rows().asked is None
    assert len(q.rows()) == 8


def test_half_precision_products_are_not_rounded() -> None:
    h, w = torch.randn(4, 64).bfloat16(), torch.randn(9, 64).bfloat16()
    z = Head(h, w).logits(slice(None), slice(None))
    assert z.dtype == torch.float32
    torch.testing.assert_close(z.double(), h.double() @ w.double().mT, rtol=1e-6, atol=1e-5)
    assert wide(h).dtype == torch.float32
    assert wide(torch.zeros(1, dtype=torch.double)).dtype == torch.double


def test_products_of_parts_and_of_turned_ones() -> None:
    """As the gradients take them: of a slice, and of what lies the other way round."""
    g, w = torch.randn(5, 40), torch.randn(60, 8)
    torch.testing.assert_close(product(g, w[7:47].mT), g @ w[7:47])
    torch.testing.assert_close(product(g.mT, w[:5].mT), g.mT @ w[:5])


def test_float32_times_bfloat16_is_not_rounded_to_it() -> None:
    """Whatever the processor: what rounding leaves out is a piece of its own."""
    g, w, h = torch.randn(40, 60), torch.randn(60, 8).bfloat16(), torch.randn(40, 8).bfloat16()
    for a, b in ((g, w.mT), (g.mT, h.mT)):
        to = torch.ones(len(a), len(b))
        add_product(to, pieces(a, b), b)
        want = a.double() @ b.double().mT
        torch.testing.assert_close(to.double() - 1, want, rtol=2**-12, atol=2**-12)
        torch.testing.assert_close(product(b, a).mT.double(), want, rtol=2**-12, atol=2**-12)
        assert (a.bfloat16().double() @ b.double().mT - want).abs().max() > 2**-8  # which rounding would have left


def test_products_leave_the_precision_of_others_as_it_was() -> None:
    before = torch.backends.mkldnn.matmul.fp32_precision
    product(torch.randn(4, 8).bfloat16(), torch.randn(9, 8).bfloat16())
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_detach_lets_no_gradient_in() -> None:
    q = lazy()
    q.heads[0].weight.requires_grad_()
    assert q.requires_grad and not q.detach().requires_grad
    assert q.dense().requires_grad and not q.detach().dense().requires_grad


def test_what_does_not_fit_is_refused_by_name() -> None:
    h, w = torch.randn(2, 3), torch.randn(7, 3)
    for make, says in (
        (lambda: Lazy((), 7), "lazy.heads"),
        (lambda: Lazy((Head(h, w),), 8), "lazy.size=8 "),
        (lambda: Lazy((Head(h, torch.randn(7, 4)),), 7), "lazy.hidden"),
        (lambda: Lazy((Head(h, w),), 7, torch.ones(3)), "lazy.asked"),
        (lambda: lazy(words=7) + lazy(words=6), "lazy.size=6 "),
    ):
        with pytest.raises(Refused, match=says):
            make()
