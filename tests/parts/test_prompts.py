"""Prompts and what follows them."""

import torch

from understudy.parts.prompts import Cuts, answered, followed, run_around, without


def test_what_follows_is_asked_for_word_by_word():
    x, y = followed(torch.tensor([[5, 6], [7, 8]]), torch.tensor([[1, 2, 3], [4, -1, -1]]))
    assert x.tolist() == [[5, 6, 1, 2], [7, 8, 4, 0]]
    assert y.tolist() == [[-1, 1, 2, 3], [-1, 4, -1, -1]]


def test_a_prompt_ends_before_the_place_that_is_asked_for_the_answer():
    prompt, has = answered(torch.tensor([[-1, -1, 3, -1], [-1, -1, -1, -1]]))
    assert prompt.tolist() == [[True, True, False, False], [True] * 4] and has.tolist() == [True, False]


def test_the_run_around_a_place():
    marked = torch.tensor([[1, 1, 0, 1, 1, 1, 0], [1, 1, 0, 1, 1, 1, 0]]).bool()
    assert run_around(marked, torch.tensor([4, 2])).long().tolist() == [[0, 0, 0, 1, 1, 1, 0], [0] * 7]


def test_cut_rows_read_as_if_nothing_had_been_there():
    x, y, drop = torch.tensor([[1, 2, 3, 4, 5]]), torch.tensor([[-1, -1, -1, 9, -1]]), torch.tensor([[0, 1, 1, 0, 0]]).bool()
    cut, then = without(drop, x, y)
    assert cut[:, :3].tolist() == [[1, 4, 5]] and then.tolist() == [[-1, 9, -1, -1, -1]]
    assert Cuts(torch.tensor([2, 0]), torch.cat([drop, ~drop])).drop.long().tolist() == [
        [1, 0, 0, 1, 1],
        [0] * 5,
        [0, 1, 1, 0, 0],
    ]
