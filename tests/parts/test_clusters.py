"""Two clusters of numbers."""

import itertools

import torch

from understudy.parts.clusters import two_means


def test_no_other_two_clusters_are_closer(double):
    for seed in range(20):
        x = torch.rand(2 + seed % 8, generator=torch.Generator().manual_seed(seed))
        low, high = two_means(x)
        best = min(
            (sum(((part - part.mean()) ** 2).sum().item() for part in (x[list(one)], x[[i for i in range(len(x)) if i not in one]])), one)
            for size in range(1, len(x)) for one in itertools.combinations(range(len(x)), size)
        )  # fmt: skip
        inside = torch.tensor([i in best[1] for i in range(len(x))])
        torch.testing.assert_close(torch.stack([low, high]), torch.stack([x[inside].mean(), x[~inside].mean()]).sort().values)


def test_what_has_no_two_sides():
    assert two_means(torch.tensor([0.3])) == two_means(torch.tensor([0.3, 0.3])) == (torch.tensor(0.3),) * 2
    assert two_means(torch.tensor([9.0, 1.0, 1.0])) == (torch.tensor(1.0), torch.tensor(9.0))
