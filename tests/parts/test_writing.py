"""Writers: the mixture draws from the mixture, the worst word is the worst one, and what stands before it stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from understudy.core.seeds import stream
from understudy.parts.lazy import Head, Lazy
from understudy.parts.writing import Beside, Corrected, log_mixture, neighbours, rewritten, said, to_go


@pytest.fixture(autouse=True)
def _double(double: None) -> None:
    """By hand to many digits."""


class Pen(nn.Module):
    """Answers by the word before alone, with a table [V, V] of logits; writes from it, or, `sure`, the likeliest."""

    def __init__(self, table: Tensor, sure: bool = False) -> None:
        super().__init__()
        self.table, self.sure = table, sure

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        return self.table[x["input_ids"]]

    def write(
        self,
        prompt: dict[str, Tensor],
        more: int,
        *,
        greedy: bool = False,
        t: float = 1.0,
        adjust: Callable[..., Tensor] | None = None,
    ) -> Tensor:
        tokens = prompt["input_ids"]
        for _ in range(more):
            scores = self.table[tokens[:, -1]]
            p = ((scores if adjust is None else adjust(tokens, scores)) / t).softmax(-1)
            tokens = torch.cat([tokens, p.argmax(-1, True) if greedy or self.sure else p.multinomial(1)], 1)
        return tokens


def prompt(*rows: list[int]) -> dict[str, Tensor]:
    ids = torch.tensor(rows)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def test_log_probabilities_stand_where_the_words_are() -> None:
    h, w, y = torch.randn(2, 3, 4), torch.randn(5, 4), torch.tensor([[-1, 4, 0], [2, -1, -1]])
    for answer in (h @ w.T, Lazy((Head(h, w),), 5)):
        got, logp = said(answer, y), (h @ w.T).log_softmax(-1)
        assert got[0, 1].item() == pytest.approx(logp[0, 1, 4].item()) and got[1, 0].item() == pytest.approx(logp[1, 0, 2].item())
        assert got[y < 0].tolist() == [0, 0, 0]


def test_a_mixture_of_probabilities() -> None:
    a, b = torch.tensor([0.5, 0.5]), torch.tensor([0.9, 0.1])
    assert log_mixture(a.log(), b.log(), 0.25).exp().tolist() == pytest.approx([0.6, 0.4])
    assert log_mixture(a.log(), b.log(), 0.0).exp().tolist() == pytest.approx([0.5, 0.5])
    assert log_mixture(a.log(), b.log(), 1.0).exp().tolist() == pytest.approx([0.9, 0.1])


def test_what_comes_after_a_word_leaves_it_out() -> None:
    r, wrote = torch.tensor([[1.0, 2, 3, 100]]), torch.tensor([[True, True, True, False]])
    assert to_go(r, wrote, mean=False).tolist() == [[5, 3, 0, 0]]
    assert to_go(r, wrote, mean=True).tolist() == [[2.5, 3, 0, 0]]


def test_two_at_one_pen_draw_from_the_mixture() -> None:
    """4,000 words after the same word: frequencies within four standard deviations of (1 - share) s + share u."""
    s, u = torch.tensor([[0.7, 0.2, 0.1]] * 3), torch.tensor([[0.1, 0.1, 0.8]] * 3)
    pen = Beside(Pen(s.log()), Pen(u.log()), 0.25)
    with stream("mixture"):
        words = pen.write(prompt(*[[0]] * 4000), 1)[:, 1]
    want = 0.75 * s[0] + 0.25 * u[0]
    seen = words.bincount(minlength=3) / 4000
    assert ((seen - want).abs() < 4 * (want * (1 - want) / 4000).sqrt()).all()
    assert Beside(Pen(s.log()), Pen(u.log()), 0.0).write(prompt([0]), 3, greedy=True).tolist() == [[0, 0, 0, 0]]


def test_the_worst_word_is_put_right_and_what_follows_is_written_anew() -> None:
    """The writer goes 0 1 2 3 0 1 ..., the teacher agrees but after 2, where it says 0 for sure, and after 1, where it leans to 3."""
    step = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    s, u = torch.zeros(4, 4), torch.zeros(4, 4)
    s[step[0], step[1]], u[step[0], step[1]] = 5.0, 5.0
    u[2], u[1] = torch.tensor([9.0, 0, 0, 0]), torch.tensor([0.0, 0, 2.0, 2.5])
    pen = Corrected(Pen(s, sure=True), Pen(u), 1)
    wrote = Pen(s, sure=True).write(prompt([0, 1], [3, 0]), 4)
    assert wrote.tolist() == [[0, 1, 2, 3, 0, 1], [3, 0, 1, 2, 3, 0]]
    place, word, wrong = pen.worst(prompt([0, 1], [3, 0]), wrote)
    assert place.tolist() == [1, 2] and word.tolist() == [0, 0] and wrong.all()
    assert pen.write(prompt([0, 1], [3, 0]), 4).tolist() == [[0, 1, 2, 0, 1, 2], [3, 0, 1, 2, 0, 1]]


def test_who_agrees_with_the_teacher_is_left_alone_and_nothing_after_the_end_is_looked_at() -> None:
    s = torch.eye(3).roll(1, 1) * 5  # 0 1 2 0 1 2
    assert Corrected(Pen(s, sure=True), Pen(s), 3).write(prompt([0]), 4).tolist() == [[0, 1, 2, 0, 1]]
    u = s.clone()
    u[2] = torch.tensor([0.0, 9.0, 0.0])  # would put right what follows 2
    assert Corrected(Pen(s, sure=True), Pen(u), 1, stop=2).write(prompt([0]), 4).tolist() == [[0, 1, 2, 0, 1]]
    assert Corrected(Pen(s, sure=True), Pen(u), 1).write(prompt([0]), 4).tolist() == [[0, 1, 2, 1, 2]]


def test_rewriting_at_the_last_place_writes_nothing_more() -> None:
    tokens = torch.tensor([[0, 1, 2, 0]])
    got = rewritten(Pen(torch.eye(3)), prompt([0, 1]), tokens, torch.tensor([3]), torch.tensor([2]))
    assert got.tolist() == [[0, 1, 2, 2]]


def test_neighbours_are_within_a_row_and_a_span() -> None:
    """Places 0-4 are in the first row, in spans of two from column 1: (0 1) (2 3) 4; 5-7 in the second, with a gap: (5) (7 is column 3)."""
    wrote = torch.tensor([[0, 1, 1, 1, 1, 1], [1, 1, 0, 1, 0, 0]]).bool()
    i, j = neighbours(wrote, 2)
    assert i.tolist() == [0, 2, 5] and j.tolist() == [1, 3, 6]
    assert [x.tolist() for x in neighbours(wrote, 100)] == [[0, 1, 2, 3, 5], [1, 2, 3, 4, 6]]
