"""Two vocabularies: sorted probabilities, stretches of text, and the views that `data.chats` lines up."""

from __future__ import annotations

import math

import pytest
import torch

from understudy.core.errors import Refused
from understudy.data.chats import Chats, Document, Reader, prepare
from understudy.data.code import train_tokenizer
from understudy.parts import tongues
from understudy.parts.lazy import Head, Lazy
from understudy.parts.tongues import likelihood_match, ranked_distance, span_logp


def lazy(logits: torch.Tensor, asked: torch.Tensor | None = None) -> Lazy:
    """Logits that are there, as if they weren't: the head is the identity."""
    return Lazy((Head(logits, torch.eye(logits.shape[-1], dtype=logits.dtype)),), logits.shape[-1], asked)


def test_ranked_distance_by_hand() -> None:
    p, q = torch.tensor([[[0.1, 0.6, 0.3]]]).log(), torch.tensor([[[0.5, 0.5]]]).log()
    assert ranked_distance(lazy(p), lazy(q)).item() == pytest.approx(0.1 + 0.2 + 0.1, rel=1e-5)
    assert ranked_distance(lazy(p), lazy(p.flip(-1))).item() == pytest.approx(0, abs=1e-6), "the order of words means nothing"


def test_ranked_distance_is_chunked_without_a_trace(double: None, monkeypatch: pytest.MonkeyPatch) -> None:
    p, q = torch.randn(2, 5, 7), torch.randn(2, 5, 9, requires_grad=True)
    asked = torch.rand(2, 5) > 0.3

    def both() -> tuple[torch.Tensor, torch.Tensor]:
        value = ranked_distance(lazy(p, asked), lazy(q, asked))
        return value, torch.autograd.grad(value, q)[0]

    whole = both()
    monkeypatch.setattr(tongues, "ROWS", 2)
    for a, b in zip(whole, both(), strict=True):
        assert torch.allclose(a, b)
    ranks = lambda z: z.softmax(-1).sort(-1, descending=True).values
    brute = (torch.nn.functional.pad(ranks(p), (0, 2)) - ranks(q)).abs().sum(-1)[asked].mean()
    assert torch.allclose(whole[0], brute)
    assert torch.allclose(whole[1], torch.autograd.grad(brute, q)[0])


def test_places_must_agree() -> None:
    with pytest.raises(Refused, match=r"3 places.*2"):
        ranked_distance(lazy(torch.randn(1, 3, 4)), lazy(torch.randn(1, 2, 4)))


def test_stretches_add_up() -> None:
    """Two words even at four places: the first two are one stretch, the last is none."""
    said = span_logp(lazy(torch.zeros(1, 4, 2)), torch.tensor([[0, 1, 0, 1]]), torch.tensor([[0, 0, 1, -1]]), 3)
    assert said.tolist() == [pytest.approx([-2 * math.log(2), -math.log(2), 0.0], rel=1e-6)]


def test_likelihood_match_by_hand() -> None:
    p, q = torch.tensor(0.25), torch.tensor(0.64)
    a, b = 0.5, 0.8  # their square roots: t = 2
    by_hand = a * math.log(a / b) + (1 - a) * math.log((1 - a) / (1 - b))
    assert likelihood_match(p.log(), q.log(), 2.0).item() == pytest.approx(by_hand, rel=1e-5)
    assert likelihood_match(p.log(), p.log(), 2.0).item() == 0
    assert likelihood_match(torch.tensor(-1e4), torch.tensor(0.0), 1.0).isfinite()


def test_both_have_read_the_same_at_the_places_they_are_asked_for() -> None:
    """And the tokens of a stretch spell the same text in both."""
    texts = ["def add(a, b):\n    return a + b\n", "import os\nprint(os.path.join('a', 'b'))\n", "für Ünïcödé 🙂 too"] * 5
    one, other = Reader(train_tokenizer(texts, 300)), Reader(train_tokenizer(["lorem ipsum dolor sit amet"] * 3, 280))
    documents = {k: [Document(((t, True),)) for t in texts] for k in ("train", "valid", "test")}
    part = prepare(Chats("made", documents), {"student": one, "teacher": other}, 64, True, False).train
    mine, its = part.x.of("student"), part.x.of("teacher")
    assert mine["asked"].sum(1).equal(its["asked"].sum(1)) and bool(mine["asked"].any())
    for i, text in enumerate(texts):
        reads = lambda r, x, at: r.tokenizer.decode(x["input_ids"][i, : at + 1].tolist())  # noqa: B023 (used at once)
        for a, b in zip(mine["asked"][i].nonzero().flatten().tolist(), its["asked"][i].nonzero().flatten().tolist(), strict=True):
            assert text.startswith(reads(one, mine, a)) and reads(one, mine, a) == reads(other, its, b)
        for k in range(int(mine["span"][i].max()) + 1):
            spelt = [
                r.tokenizer.decode(x["next"][i][x["span"][i] == k].tolist(), skip_special_tokens=True)
                for r, x in ((one, mine), (other, its))
            ]
            assert spelt[0] == spelt[1] and (spelt[0] in text)
