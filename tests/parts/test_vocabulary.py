"""Means over pieces and contexts, in loops."""

import torch

from understudy.parts.vocabulary import by_word, set_rows_


def test_by_word():
    states = torch.randn(2, 5, 3)
    words = torch.tensor([[0, 0, 1, 2, -1], [0, 1, 1, 1, -1]])
    found = by_word(states, words, 4)
    assert found.shape == (2, 4, 3) and not found[0, 3].any() and not found[1, 2:].any()
    for n in range(2):
        for w in set(words[n].tolist()) - {-1}:
            torch.testing.assert_close(found[n, w], states[n][words[n] == w].mean(0))


def test_new_rows_have_the_length_of_old_ones():
    weight = torch.nn.Parameter(torch.randn(6, 4))
    before, sums = weight.detach().clone(), torch.randn(3, 4)
    set_rows_(weight, 3, sums, torch.tensor([2.0, 0.0, 5.0]))
    means = [sums[0] / 2, sums[2] / 5]
    scale = before[:3].norm(dim=1).mean() / torch.stack(means).norm(dim=1).mean()
    assert torch.equal(weight[:3], before[:3]) and torch.equal(weight[4], before[4])
    torch.testing.assert_close(weight[3].detach(), means[0] * scale)
    torch.testing.assert_close(weight[5].detach(), means[1] * scale)
