"""Mixtures: as many Gaussians as Akaike says, and samples that have their moments."""

import torch

from understudy.parts.gaussians import Gaussians


def blobs(n=80):
    centres = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    return (centres[:, None] + 0.3 * torch.randn(3, n, 2)).flatten(0, 1)


def test_finds_three_where_there_are_three():
    torch.manual_seed(0)
    mixture = Gaussians(1, 5, 2)
    mixture.fit(blobs())
    assert (mixture.weight > 0).sum() == 3
    torch.testing.assert_close(mixture.weight[:3], torch.full((3,), 1 / 3), atol=0.01, rtol=0)
    assert torch.cdist(mixture.mean[:3], torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])).amin(0).max() < 0.2


def test_samples_have_the_moments_of_those_that_were_asked_for():
    torch.manual_seed(0)
    mixture = Gaussians(1, 3, 2)
    mixture.mean[1], mixture.root[1] = torch.tensor([2.0, -1.0]), torch.tensor([[1.0, 0.0], [0.5, 0.2]])
    x = mixture.sample(torch.tensor([0.0, 1.0, 0.0]), 40000)
    torch.testing.assert_close(x.mean(0), mixture.mean[1], atol=0.03, rtol=0)
    torch.testing.assert_close(x.T.cov(), mixture.root[1] @ mixture.root[1].T, atol=0.03, rtol=0)


def test_few_rows_and_equal_rows_are_fitted_too():
    torch.manual_seed(0)
    mixture = Gaussians(2, 5, 3)
    mixture.fit(torch.zeros(1, 3))
    assert not mixture.weight.any()  # fewer rows than Gaussians: as it was
    for rows in (torch.zeros(4, 3), torch.ones(50, 3)):
        mixture.fit(rows)
        assert torch.isclose(mixture.weight.sum(), torch.ones(()))
        assert mixture.sample(mixture.weight, 7).isfinite().all()
