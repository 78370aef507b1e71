"""ALP-GMM: the authors' learning progress, and tasks from Gaussians in proportion to theirs."""

import pytest
import torch

from facts.reference import cases
from understudy.core.batch import Batch
from understudy.core.run import start
from understudy.methods import alp_gmm
from understudy.worlds.ladder import ladder


@cases("ALP-GMM", "absolute learning progress")
def test_progress_is_the_authors(record, double):
    g = torch.Generator().manual_seed(record["seed"])
    x, r = torch.rand(60, 2, generator=g), torch.rand(60, generator=g)
    run = start(alp_gmm(refit=1000), ladder(0, small=True), 1, device="cpu")
    for task, reward in zip(x.split(1), r.split(1)):
        run.method.after_step(run, Batch(x=task, reward=reward))
    alp = run["progress"].filled()[:, -1]
    assert alp[0] == 0
    torch.testing.assert_close(alp[6:], torch.tensor(record["alps"][6:]), rtol=1e-9, atol=1e-12)


def test_gaussians_are_asked_in_proportion_to_their_progress():
    run = start(alp_gmm(explore=0.2), ladder(0, small=True), 1, device="cpu")
    run.world.batch, mixture = 4000, run["mixture"]
    mixture.weight[:3] = torch.tensor([0.9, 0.05, 0.05])  # how many tasks it stands for has no say
    mixture.mean[:3] = torch.tensor([[0.1, 0.1, 0.05], [0.9, 0.9, 0.15], [0.5, 0.5, 0.0]])
    mixture.root[:3] = 1e-4 * torch.eye(3)
    torch.manual_seed(0)
    x = run.method.source(run).x
    share = [((x - c).abs() < 1e-2).all(1).double().mean().item() for c in (0.1, 0.9, 0.5)]
    assert share == pytest.approx([0.8 * 0.25, 0.8 * 0.75, 0.0], abs=0.03)


def test_without_a_mixture_tasks_are_the_worlds_own():
    run = start(alp_gmm(), ladder(0, small=True), 1, device="cpu")
    assert torch.equal(run.method.source(run).x, run.rows().x)
