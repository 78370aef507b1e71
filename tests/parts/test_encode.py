"""What is kept of a teacher's words: right on average, with the least variance there is, in few bytes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from understudy.core.errors import Refused
from understudy.parts import encode
from understudy.parts.encode import LOT, Words, chance, hybrid, in_8_bits, sampled, steps, top
from understudy.parts.lazy import Head, Lazy


def said(p: Tensor, places: int) -> Lazy:
    """A teacher that says p at every place."""
    return Lazy((Head(p.double().clamp(min=1e-300).log().expand(places, -1), torch.eye(len(p)).double()),), len(p))


def weights(words: Words, size: int) -> Tensor:
    """[T, V]"""
    s = words.samples()
    return torch.zeros(len(s.ids), size).scatter_add_(1, s.ids.clamp(min=0), s.weights)


KEYS = torch.arange(20_000)
SOFT = torch.tensor([0.3, 0.17, 0.13, 0.1, 0.09, 0.08, 0.06, 0.04, 0.02, 0.009, 0.001, 0.0])
SHARP = torch.tensor([0.97, 0.01, 0.008, 0.005, 0.004, 0.001, 0.001, 0.0005, 0.0003, 0.0002, 0.0, 0.0])


@pytest.mark.parametrize("p", [SOFT, SHARP], ids=["soft", "sharp"])
@pytest.mark.parametrize("n", [1, 3, 12])
def test_the_mean_weight_is_the_probability_exactly(p: Tensor, n: int) -> None:
    """The first step goes evenly over [0, 1): no chance left, so it is an equality up to the grid."""
    grid = 7919
    u = (torch.arange(grid) + 0.5).double() / grid
    ids = steps(p.double().expand(grid, -1), torch.full((grid,), n), u)
    mean = torch.bincount(ids.flatten(), minlength=len(p)).double() / (grid * n)
    assert torch.allclose(mean, p.double(), atol=1.5 / grid)


@pytest.mark.parametrize("p", [SOFT, SHARP], ids=["soft", "sharp"])
@pytest.mark.parametrize("kept", [lambda a: sampled(a, 5, KEYS), lambda a: hybrid(a, 5, KEYS)], ids=["sampled", "hybrid"])
def test_unbiased(p: Tensor, kept) -> None:  # type: ignore[no-untyped-def]
    w = weights(kept(said(p, len(KEYS))), len(p))
    standard_error = (w.std(0) / math.sqrt(len(KEYS))).clamp(min=1e-6)
    assert ((w.mean(0) - p).abs() < 4 * standard_error).all(), (w.mean(0) - p) / standard_error
    assert torch.allclose(w.sum(1), torch.ones(len(w)), atol=1e-6)
    assert (w[:, -1] == 0).all()


def test_no_whole_count_varies_less() -> None:
    """f (1 - f) / n^2 with f the fraction of n p, against p (1 - p) / n of draws one by one."""
    n, fraction = 7, (7 * SOFT).frac()
    w = weights(sampled(said(SOFT, len(KEYS)), n, KEYS), len(SOFT))
    assert torch.allclose(w.var(0), fraction * (1 - fraction) / n**2, atol=2e-4)
    assert w.var(0).sum() < 0.5 * (SOFT * (1 - SOFT)).sum() / n


def test_likely_words_of_a_hybrid_are_nearly_exact() -> None:
    """A place where one step more or less falls to the tail moves the likely words a little; less than one step in all."""
    a, b = (weights(f(said(SOFT, len(KEYS)), m, KEYS), len(SOFT)) for f, m in ((sampled, 12), (hybrid, 8)))
    assert b[:, :4].var(0).sum() < a[:, :4].var(0).sum()
    kept = hybrid(said(SOFT, len(KEYS)), 8, KEYS)
    assert kept.counts.max() <= 9
    assert abs(kept.counts.double().mean() - 8) < 0.5
    assert (kept.values > LOT).any()


def test_a_sure_teacher_costs_few_words() -> None:
    sure, unsure = sampled(said(SHARP, 1000), 50, KEYS[:1000]), sampled(said(SOFT, 1000), 50, KEYS[:1000])
    assert sure.counts.double().mean() < 4
    assert unsure.counts.double().mean() > 9


def test_more_words_asked_for_than_there_are() -> None:
    p = torch.tensor([0.5, 0.5, 0.0])
    assert torch.allclose(weights(hybrid(said(p, 50), 8, KEYS[:50]), 3), p, atol=1e-3)
    assert torch.allclose(weights(sampled(said(p, 50), 8, KEYS[:50]), 3), p)
    kept = top(said(p, 2), 8).topk()
    assert kept.ids.shape == (2, 3)


def test_entropy_and_temperature() -> None:
    for kept in (sampled(said(SOFT, 3), 4, KEYS[:3], t=2.0), hybrid(said(SOFT, 3), 4, KEYS[:3], t=2.0)):
        p = SOFT.double().sqrt() / SOFT.double().sqrt().sum()
        assert kept.entropy is not None
        assert torch.allclose(kept.entropy.double(), -torch.special.xlogy(p, p).sum().expand(3))
        assert kept.samples(2.0).t == 2.0
    with pytest.raises(Refused, match="t=0"):
        sampled(said(SOFT, 3), 4, KEYS[:3], t=0)


def test_the_likeliest() -> None:
    kept = top(said(SOFT, 2), 3).topk()
    assert kept.ids.tolist() == [[0, 1, 2]] * 2
    assert torch.allclose(kept.logp.exp(), SOFT[:3].expand(2, -1))


def test_chunks_and_places_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all places at once, of two at a time, or of one alone: chance hangs on the key."""
    answer = Lazy((Head(torch.randn(9, 4), torch.randn(30, 4)),), 25)
    key = torch.randint(2**62, (9,))
    for f in (lambda a, k: sampled(a, 6, k), lambda a, k: hybrid(a, 6, k), lambda a, _: top(a, 6)):
        whole = f(answer, key)
        monkeypatch.setattr(encode, "BUDGET", 4 * 4 * 25)
        monkeypatch.setattr(encode, "CACHED", 2 * 4 * 25)
        assert all(torch.allclose(a, b) for a, b in zip(_tensors(whole), _tensors(f(answer, key)), strict=True))
        alone = f(answer.each(lambda h: h[4:5]), key[4:5])
        assert all(torch.allclose(a, b) for a, b in zip(_tensors(whole.split([4, 1, 4])[1]), _tensors(alone), strict=True))
        assert whole.ids.max() < 25
        joined = Words.joined(whole.split([2, 0, 7]))
        assert all(torch.allclose(a, b) for a, b in zip(_tensors(whole), _tensors(joined), strict=True))
        assert len(f(answer.each(lambda h: h[:0]), key[:0]).counts) == 0


def _tensors(w: Words) -> list[Tensor]:
    return [t for t in (w.counts, w.ids, w.values, w.entropy) if t is not None]


def test_chance_is_the_published_generator() -> None:
    """The first numbers of splitmix64 from the seed 1234567, as its reference gives them."""
    for i, whole in enumerate((6457827717110365317, 3203168211198807973, 9817491932198370423)):
        assert chance(torch.tensor([1234567]), i).item() == (whole >> 11) / 2**53


def test_8_bits() -> None:
    h = torch.cat([torch.randn(20, 64), torch.zeros(1, 64), 1e-6 * torch.ones(1, 64)])
    whole, scale = in_8_bits(h)
    assert whole.dtype == torch.int8
    assert ((whole * scale[:, None] - h).abs() <= 0.501 * h.abs().amax(1, keepdim=True) / 127).all()
