"""The fused losses against the same thing written out, and what a loss of a language model must not get wrong.

Blocks of 7 words and chunks of a few rows, so that every test crosses the borders of both.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from understudy.core.errors import Refused
from understudy.parts import divergence as d
from understudy.parts import sweep
from understudy.parts.fused import (
    FORWARD,
    REVERSE,
    VARIATION,
    Kind,
    alpha_beta,
    both,
    divergence,
    jensen,
    nll,
    skew,
    skew_reverse,
)
from understudy.parts.lazy import Head, Lazy, Samples, TopK

N, L, V, H, K = 2, 5, 30, 6, 8  # rows, places, words, and the hidden sizes of student and teacher
KINDS = [FORWARD, REVERSE, VARIATION, jensen(0.3), jensen(0.5), skew(0.1), skew_reverse(0.9), alpha_beta(0.3, 0.6)]
kinds = pytest.mark.parametrize("kind", KINDS, ids=[k.name for k in KINDS])


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sweep.BLOCK, "cpu", 7)
    monkeypatch.setitem(sweep.BUDGET, "cpu", 2 * 4 * V * 8)  # four rows of two answers in float64


def head(width: int, learns: bool = False, pad: int = 3, bias: bool = True, **changes: Any) -> Head:
    h, w, b = torch.randn(N, L, width), torch.randn(V + pad, width), torch.randn(V + pad)
    return Head(h.requires_grad_(learns), w.requires_grad_(learns), b.requires_grad_(learns) if bias else None, **changes)


def tensors(h: Head) -> list[Tensor]:
    return [t for t in (h.hidden, h.weight, h.bias) if t is not None]


def places() -> tuple[Tensor, Tensor]:
    """Those asked for, and with weights."""
    mask = torch.rand(N, L) > 0.3
    return mask, torch.rand(N, L) * mask


def rows(kind: Kind, p: Lazy | Tensor, q: Lazy, t: float) -> Tensor:
    """Each place's divergence with all logits in memory."""
    lp = ((p.dense() if isinstance(p, Lazy) else p) / t).log_softmax(-1)
    return kind.value(lp, (q.dense() / t).log_softmax(-1)).sum(-1)


def mean(values: Tensor, asked: Tensor) -> Tensor:
    return (values * asked).sum() / asked.sum()


def same(a: Tensor, b: Tensor, to: list[Tensor], rtol: float = 1e-9) -> None:
    """Value and gradients."""
    torch.testing.assert_close(a, b, rtol=rtol, atol=1e-13)
    c = torch.rand_like(a)  # so that what comes from above is used
    for x, y in zip(torch.autograd.grad(a, to, c, retain_graph=True), torch.autograd.grad(b, to, c, retain_graph=True)):
        torch.testing.assert_close(x, y, rtol=rtol, atol=1e-12)


@kinds
def test_it_is_what_is_written_out(kind: Kind, double: None) -> None:
    mask, weights = places()
    for t, cap, asked in itertools.product((1.0, 2.5), (None, 2.0), (None, mask, weights)):
        hq, hp = head(H, learns=True, cap=cap, scale=1.3), head(K)
        q, p = Lazy((hq,), V, asked), Lazy((hp,), V, asked)
        values, use = rows(kind, p, q, t), torch.ones(N, L) if asked is None else asked
        same(divergence(kind, p, q, t), mean(values, use), tensors(hq))
        same(divergence(kind, p.dense(), q.at(None), t), values.mean(), tensors(hq))
        same(divergence(kind, p, q, t, each=True), values[use > 0], tensors(hq))


@kinds
def test_both_is_the_sum_of_two(kind: Kind, double: None) -> None:
    """Also where the two are scaled differently afterwards, and where a place has a label that isn't asked for, or none that is."""
    mask, weights = places()
    y = torch.randint(0, V, (N, L)).masked_fill(~mask, -1)
    for t, asked, labels in (
        (1.0, mask, y),
        (2.0, weights, y),
        (1.0, None, y),
        (2.0, mask, y.clone().index_fill_(1, torch.tensor(2), 4)),
    ):
        hq = head(H, learns=True)
        q, p = Lazy((hq,), V, asked), Lazy((head(K),), V, asked)
        soft, hard = both(kind, p, q, labels, t, 0.7, 0.2)
        s, h = 0.7 * divergence(kind, p, q, t), 0.2 * nll(q, labels)
        same(soft, s, tensors(hq))
        same(hard, h, tensors(hq))
        same(soft + hard, s + h, tensors(hq))
        same(soft + 3 * hard, s + 3 * h, tensors(hq))


def test_nll_is_a_cross_entropy(double: None) -> None:
    mask, weights = places()
    y = torch.randint(0, V, (N, L)).masked_fill(~mask, -1)
    hq = head(H, learns=True, cap=3.0)
    q = Lazy((hq,), V)
    each = F.cross_entropy(q.dense().flatten(0, 1), y.flatten().clamp(min=0), reduction="none").view(N, L)
    same(nll(q, y), each[mask].mean(), tensors(hq))
    same(nll(q.at(mask), y), each[mask].mean(), tensors(hq))
    same(nll(q.at(weights), y), mean(each, weights), tensors(hq))
    same(nll(q, y, each=True), each[mask], tensors(hq))


@kinds
def test_stored_words_and_a_bucket_for_the_rest(kind: Kind, double: None) -> None:
    mask, weights = places()
    hq = head(H, learns=True)
    q, t = Lazy((hq,), V, weights), 1.7
    full = (head(K).logits(slice(None), slice(0, V)) / t).log_softmax(-1)[mask]
    logp, ids = full.topk(6)
    lq = (q.dense() / t).log_softmax(-1)[mask]

    def bucketed(x: Tensor) -> Tensor:
        return torch.cat([x, (1 - x.exp().sum(1, keepdim=True)).log()], 1)

    want = kind.value(bucketed(logp), bucketed(lq.gather(1, ids))).sum(-1)
    same(divergence(kind, TopK(ids, logp, t), q, t, each=True), want, tensors(hq))
    same(divergence(kind, TopK(ids, logp, t), q, t), mean(want, weights[mask]), tensors(hq))
    filled = TopK(torch.cat([ids, torch.full_like(ids[:, :2], -1)], 1), torch.cat([logp, torch.zeros_like(logp[:, :2])], 1), t)
    same(divergence(kind, filled, q, t, each=True), want, tensors(hq))
    everything = TopK(torch.arange(V).expand(len(full), V), full, t)
    same(divergence(kind, everything, q, t, each=True), kind.value(full, lq).sum(-1), tensors(hq), rtol=1e-6)


def test_a_word_drawn_is_on_average_the_whole_distribution(double: None) -> None:
    """All words, each as often as the teacher says it: the expectation of what one draw gives, exactly."""
    h, w, p = torch.randn(1, H, requires_grad=True), torch.randn(V, H, requires_grad=True), torch.randn(V).mul(2).softmax(0)
    q = Lazy((Head(h.expand(V, H), w),), V, p)
    entropy = -(p * p.log()).sum()
    draws = Samples(torch.arange(V)[:, None], torch.ones(V, 1), entropy.expand(V))
    same(divergence(FORWARD, draws, q), divergence(FORWARD, p.log().expand(V, V), q), [h, w])


def test_many_draws_tend_to_the_full_gradient(double: None) -> None:
    h, w, p = torch.randn(1, H, requires_grad=True), torch.randn(V, H), torch.randn(V).softmax(0)

    def gradient(answer: Any, n: int) -> Tensor:
        (g,) = torch.autograd.grad(divergence(FORWARD, answer, Lazy((Head(h.expand(n, H), w),), V)), h)
        return g

    want = gradient(p.log()[None], 1)
    draws = torch.multinomial(p, 50 * 400, replacement=True).view(400, 50)  # a word comes more than once
    got = torch.stack([gradient(Samples(i[None], torch.full((1, 50), 1 / 50)), 1) for i in draws])
    error = (got.mean(0) - want).abs() / (got.std(0) / 400**0.5)
    assert error.max() < 4
    torch.testing.assert_close(gradient(Samples(draws, torch.full((400, 50), 1 / 50)), 400), got.mean(0))


def test_sums_of_answers(double: None) -> None:
    """What an ensemble says, and what a student says less what another does."""
    mask, _ = places()
    hq, hp = head(H, learns=True), head(K)
    q, p = Lazy((hq,), V, mask), Lazy((hp,), V, mask)
    mixed, contrast = 0.3 * q.detach() + 0.7 * p, 2.0 * q + -1.0 * p
    same(divergence(FORWARD, mixed, q), mean(rows(FORWARD, mixed, q, 1.0), mask), tensors(hq))
    same(divergence(REVERSE, p, contrast), mean(rows(REVERSE, p, contrast, 1.0), mask), tensors(hq))


@kinds
def test_nothing_to_learn_from_ones_equal(kind: Kind) -> None:
    """Zero, not nearly: the student's answer is the teacher's, whatever the temperature, the numbers' type and the stored form."""
    for t, dtype, cap in itertools.product((1.0, 3.0), (torch.float64, torch.float32, torch.bfloat16), (None, 4.0)):
        h, w = torch.randn(N, L, H).to(dtype), torch.randn(V + 3, H).to(dtype)
        q = Lazy((Head(h.requires_grad_(), w.requires_grad_(), cap=cap),), V)
        loss = divergence(kind, q.detach(), q, t)
        assert loss.item() == 0
        for g in torch.autograd.grad(loss, [h, w]):
            assert not g.any()


def test_forward_kl_is_a_kl(double: None) -> None:
    """Not the cross-entropy: by hand (2/3, 1/3) against (1/2, 1/2)."""
    q = Lazy((Head(torch.zeros(1, 1), torch.zeros(2, 1)),), 2)
    p = torch.tensor([[2.0, 1.0]]).log()
    assert divergence(FORWARD, p, q).item() == pytest.approx(
        2 / 3 * torch.log(torch.tensor(4 / 3)).item() - 1 / 3 * torch.log(torch.tensor(1.5)).item()
    )
    ids, logp = torch.tensor([[0]]), torch.tensor([[2 / 3]]).log()
    assert divergence(FORWARD, TopK(ids, logp), q).item() == pytest.approx(divergence(FORWARD, p, q).item())
    entropy = -(p.softmax(-1) * p.log_softmax(-1)).sum(-1)
    both_words = Samples(torch.tensor([[0, 1]]), torch.tensor([[2 / 3, 1 / 3]]), entropy)
    assert divergence(FORWARD, both_words, q).item() == pytest.approx(divergence(FORWARD, p, q).item())


def test_rows_that_pad_a_head_are_no_words(double: None) -> None:
    hq, hp = head(H, learns=True, pad=5), head(K, pad=2)
    q, p = Lazy((hq,), V), Lazy((hp,), V)
    loss = divergence(jensen(0.5), p, q) + nll(q, torch.full((N, L), 3))
    _, g, b = torch.autograd.grad(loss, tensors(hq))
    assert not g[V:].any() and not b[V:].any() and g[:V].any(1).all()
    with torch.no_grad():
        hq.weight[V:] += 100
        hp.weight[V:] -= 100
    assert divergence(jensen(0.5), p, q) + nll(q, torch.full((N, L), 3)) == loss


def test_a_masked_place_changes_nothing() -> None:
    mask = torch.tensor([[True, False, True, True, False]] * N)
    hq, hp = head(H, learns=True), head(K)
    y = torch.full((N, L), 3).masked_fill(~mask, -1)

    def run(hidden: Tensor, teacher: Tensor) -> list[Tensor]:
        h = hidden.requires_grad_()
        q, p = Lazy((replace(hq, hidden=h),), V, mask), Lazy((replace(hp, hidden=teacher),), V, mask)
        losses = both(jensen(0.5), p, q, y, 1.5, 0.5, 0.5)
        return [*losses, *torch.autograd.grad(losses[0] + losses[1], [h, hq.weight])]

    other = [torch.where(mask[..., None], x.detach(), 7.0) for x in (hq.hidden, hp.hidden)]
    for a, b in zip(run(hq.hidden.detach().clone(), hp.hidden), run(*other)):
        assert torch.equal(a, b)


def test_temperature_reaches_value_and_gradient(double: None) -> None:
    """At a high one t^2 KL tends to half the variance of the difference of the logits (Hinton et al. 2015, section 2.1)."""
    hq, hp = head(H, learns=True), head(K)
    q, p = Lazy((hq,), V), Lazy((hp,), V)
    want = (q.dense() - p.dense()).var(-1, unbiased=False).mean() / 2
    same(d.kl(p, q, 1e5), want, tensors(hq), rtol=1e-3)


def test_one_weight_used_twice(double: None) -> None:
    """A tied embedding gets both of its gradients."""
    words = torch.randn(V, H, requires_grad=True)
    hidden = words[torch.randint(0, V, (N, L))].tanh()
    q, p = Lazy((Head(hidden, words),), V), Lazy((head(K),), V)
    same(divergence(REVERSE, p, q), rows(REVERSE, p, q, 1.0).mean(), [words])


def test_half_precision_is_rounded_once() -> None:
    """Gradients of bfloat16 tensors are the exact ones, rounded: half a unit in the last place, and float32's own errors."""
    h, w, ht = (torch.randn(*s).bfloat16() for s in ((16, 64), (V, 64), (16, 64)))
    h.requires_grad_(), w.requires_grad_()
    got = torch.autograd.grad(divergence(FORWARD, Lazy((Head(ht, w.detach()),), V), Lazy((Head(h, w),), V)), [h, w])
    hd, wd = h.detach().double().requires_grad_(), w.detach().double().requires_grad_()
    exact = rows(FORWARD, Lazy((Head(ht.double(), wd.detach()),), V), Lazy((Head(hd, wd),), V), 1.0).mean()
    for a, b in zip(got, torch.autograd.grad(exact, [hd, wd])):
        assert a.dtype == torch.bfloat16
        assert ((a.double() - b).norm() / b.norm()) < 2e-3


def test_autocast_changes_nothing() -> None:
    hq, hp = head(H, learns=True), head(K)
    q, p = Lazy((hq,), V), Lazy((hp,), V)
    want = divergence(jensen(0.5), p, q)
    wanted = torch.autograd.grad(want, tensors(hq))
    with torch.autocast("cpu", torch.bfloat16):
        loss = divergence(jensen(0.5), p, q)
    assert torch.equal(loss, want)
    for a, b in zip(torch.autograd.grad(loss, tensors(hq)), wanted):
        assert torch.equal(a, b)


@kinds
def test_float32_is_exact_enough(kind: Kind) -> None:
    """Value within 1e-6, gradient within 1e-5, of float64."""
    mask, _ = places()
    hq, hp = head(64, learns=True), head(64)
    hq = replace(hq, weight=(hq.weight / 8).detach().requires_grad_())
    hp = replace(hp, weight=hp.weight / 3)
    dq = replace(hq, hidden=hq.hidden.detach().double().requires_grad_(), weight=hq.weight.detach().double().requires_grad_(),
                 bias=hq.bias.detach().double().requires_grad_())  # fmt: skip
    dp = replace(hp, hidden=hp.hidden.double(), weight=hp.weight.double(), bias=hp.bias.double())
    got = divergence(kind, Lazy((hp,), V, mask), Lazy((hq,), V, mask))
    want = mean(rows(kind, Lazy((dp,), V), Lazy((dq,), V), 1.0), mask)
    assert got.item() == pytest.approx(want.item(), rel=1e-6)
    for a, b in zip(torch.autograd.grad(got, tensors(hq)), torch.autograd.grad(want, tensors(dq))):
        assert (a.double() - b).norm() < 1e-5 * b.norm()


@pytest.mark.parametrize("kind", [FORWARD, REVERSE, jensen(0.5)], ids=lambda k: k.name)
def test_a_small_distance_is_not_lost(kind: Kind) -> None:
    """Late in training all is near: 2e-4 nats, still to four digits in float32, though each logit is rounded at 1e-7 of 10."""
    h, w = torch.randn(40, 64), torch.randn(500, 64) / 4
    ht = h + 0.01 * torch.randn(40, 64)
    got = divergence(kind, Lazy((Head(ht, w),), 500), Lazy((Head(h, w),), 500))
    p, q = (Lazy((Head(x.double(), w.double()),), 500) for x in (ht, h))
    assert got.item() == pytest.approx(rows(kind, p, q, 1.0).mean().item(), rel=1e-4)


@kinds
def test_logits_of_ten_thousand_are_finite(kind: Kind) -> None:
    h, w = torch.tensor([[1e4]], requires_grad=True), torch.linspace(-1, 1, V)[:, None].requires_grad_()
    q, p = Lazy((Head(h, w),), V), Lazy((Head(-h.detach(), w.detach()),), V)
    for t in (0.01, 1.0, 100.0):
        loss = divergence(kind, p, q, t)
        assert loss.isfinite() and all(g.isfinite().all() for g in torch.autograd.grad(loss, [h, w]))


@kinds
def test_words_that_a_teacher_never_says(kind: Kind, double: None) -> None:
    """Logits of minus infinity are probabilities of 0."""
    hq = head(H, learns=True)
    q, p = Lazy((hq,), V), torch.randn(N, L, V)
    p[..., 4:9] = -torch.inf
    if kind is REVERSE:
        assert divergence(kind, p, q).item() > 1e6  # infinite, were numbers
        return
    low = p.clone().nan_to_num(neginf=-800.0)
    same(divergence(kind, p, q), divergence(kind, low, q), tensors(hq))


def test_a_second_backward_pass(double: None) -> None:
    hq = head(H, learns=True)
    loss = divergence(jensen(0.5), Lazy((head(K),), V), Lazy((hq,), V))
    first = torch.autograd.grad(2 * loss, tensors(hq), retain_graph=True)
    kept = [g.clone() for g in first]
    for a, b in zip(torch.autograd.grad(2 * loss, tensors(hq)), kept):
        torch.testing.assert_close(a, b)
    for a, b in zip(first, kept):
        assert torch.equal(a, b)


@pytest.mark.parametrize("wanted", [(True, False, False), (False, True, False), (False, False, True), (False, False, False)])
def test_only_gradients_that_are_wanted(wanted: tuple[bool, ...], double: None) -> None:
    hq = head(H)
    for t, w in zip(tensors(hq), wanted):
        t.requires_grad_(w)
    q, p = Lazy((hq,), V), Lazy((head(K),), V)
    loss = divergence(skew(0.1), p, q)
    assert loss.requires_grad == any(wanted)
    to = [t for t in tensors(hq) if t.requires_grad]
    if to:
        same(loss, rows(skew(0.1), p, q, 1.0).mean(), to)


def test_no_place_asked_for() -> None:
    hq, nowhere = head(H, learns=True), torch.zeros(N, L, dtype=torch.bool)
    q, p = Lazy((hq,), V, nowhere), Lazy((head(K),), V, nowhere)
    soft, hard = both(FORWARD, p, q, torch.full((N, L), -1), 1.0, 0.5, 0.5)
    assert soft.item() == hard.item() == 0
    assert not any(g.any() for g in torch.autograd.grad(soft + hard, tensors(hq)))
    assert divergence(FORWARD, p, q, each=True).shape == (0,)


def test_gradcheck(double: None) -> None:
    h, w, b, p = (
        torch.randn(3, 2, requires_grad=True),
        torch.randn(9, 2, requires_grad=True),
        torch.randn(9, requires_grad=True),
        torch.randn(3, 8),
    )
    asked = torch.tensor([0.2, 0.0, 1.3])

    def loss(h: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        q = Lazy((Head(h, w, b, cap=3.0),), 8, asked)
        return both(jensen(0.4), p[asked > 0], q, torch.tensor([1, -1, 5]), 1.4, 0.6, 0.3)

    assert torch.autograd.gradcheck(loss, (h, w, b))


def test_what_does_not_fit_is_refused_by_name() -> None:
    mask = torch.ones(N, L, dtype=torch.bool)
    mask[0, 0] = False
    hq, hp = head(H, learns=True), head(K)
    q, p = Lazy((hq,), V, mask), Lazy((hp,), V, mask)
    topk = TopK(torch.zeros(N * L - 1, 1, dtype=torch.long), torch.zeros(N * L - 1, 1), 2.0)
    for kind, answer, t, says in (
        (FORWARD, p.at(None), 1.0, f"^p='{N * L} places' .*{N * L - 1}"),
        (FORWARD, replace(p, size=V - 1), 1.0, f"^p='{V - 1} words' .*{V}"),
        (FORWARD, torch.zeros(N * L - 1, V + 1), 1.0, f"^p='{V + 1} words' .*{V}"),
        (FORWARD, topk, 1.0, "^t=1.0 .*2"),
        (REVERSE, Samples(topk.ids, topk.logp), 1.0, "^signal='samples' .*reverse_kl"),
        (FORWARD, q, 1.0, "^p='a lazy answer with a gradient'"),
    ):
        with pytest.raises(Refused, match=says):
            divergence(kind, answer, q, t)
    capped = Lazy((replace(hq, cap=2.0),), V, mask) + p
    with pytest.raises(Refused, match="soft-capped"):
        divergence(FORWARD, p, capped)
    loss = divergence(FORWARD, p, q)
    with pytest.raises(Refused, match="second derivative"):
        torch.autograd.grad(loss, hq.hidden, create_graph=True)


def test_divergences_of_this_project_take_it(double: None) -> None:
    """`parts.divergence` of lazy, dense and stored answers is one thing, with its factor t^2."""
    mask, _ = places()
    hq, hp = head(H, learns=True), head(K)
    q, p = Lazy((hq,), V, mask), Lazy((hp,), V, mask)
    lq, lp = q.dense()[mask], p.dense()[mask]
    for f in (d.kl, d.reverse_kl, d.jensen, d.skew_kl, d.skew_reverse_kl, d.total_variation):
        same(f(p, q, t=2.0), f(lp, lq, t=2.0), tensors(hq))
        same(f(lp, q, t=2.0), f(lp, lq, t=2.0), tensors(hq))
        same(f(p, q.dense(), t=2.0), f(lp, lq, t=2.0), tensors(hq))
    y = torch.randint(0, V, (N, L)).masked_fill(~mask, -1)
    same(d.nll(q, y), F.cross_entropy(lq, y[mask]), tensors(hq))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is at hand")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@kinds
def test_a_gpu_gives_the_same(kind: Kind, dtype: torch.dtype) -> None:
    given = [torch.randn(*s).to(dtype) for s in ((9, 64), (V + 3, 64), (9, 32), (V, 32))]
    y = torch.randint(0, V, (9,))

    def found(device: str) -> list[Tensor]:
        h, w, ht, wt = (x.to(device) for x in given)
        h.requires_grad_(), w.requires_grad_()
        soft, hard = both(kind, Lazy((Head(ht, wt),), V), Lazy((Head(h, w),), V), y.to(device), 2.0, 0.7, 0.2)
        return [x.float().cpu() for x in (soft, hard, *torch.autograd.grad(soft + hard, [h, w]))]

    for a, b in zip(found("cuda"), found("cpu")):
        assert (a - b).norm() <= (1e-5 if dtype == torch.float32 else 4e-3) * b.norm()


@pytest.mark.parametrize("mode", [{"TRITON_INTERPRET": "1"}, {}], ids=["interpreted", "compiled"])
def test_triton_gives_the_same(mode: dict[str, str], tmp_path: Path) -> None:
    """Its kernels by its interpreter, and that they compile; in a process of their own, since that is chosen before the import."""
    pytest.importorskip("triton", reason="triton isn't installed: it comes with the CUDA builds of torch")
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "triton_kernels.py"], env={**os.environ, "TRITON_CACHE_DIR": str(tmp_path), **mode},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler is at hand")
def test_compiled_passes_give_the_same() -> None:
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "compiled_strokes.py"], env={**os.environ, "UNDERSTUDY_COMPILE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
