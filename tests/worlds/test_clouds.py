"""Clouds of points: they lie on ink, and the encoder doesn't care about their order."""

import torch

from understudy.core.seeds import stream
from understudy.worlds.clouds import clouds, sampled


def test_points_lie_where_there_is_ink():
    x = -torch.ones(2, 1, 4, 4)
    x[0, 0, 1, 2] = 1.0  # one pixel: all points within it, up to where the cloud is centred and scaled
    x[1, 0, 0, 0], x[1, 0, 3, 3] = 1.0, 0.0
    with stream("test"):
        cloud = sampled(x, 200)
    assert cloud.shape == (2, 200, 3) and cloud.isfinite().all()
    torch.testing.assert_close(cloud.mean(1), torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(cloud.norm(dim=-1).amax(1), torch.ones(2))
    dark = (cloud[1, :, 2] > cloud[1, :, 2].mean()).double().mean()
    assert 0.55 < dark < 0.78 and cloud[0, :, 2].std() < 1e-6  # two thirds of the ink
    left = cloud[1, cloud[1, :, 2] > 0]
    assert (left[:, 0] < 0).all() and (left[:, 1] > 0).all()  # the darker pixel is left and up


def test_the_order_of_points_says_nothing():
    world = clouds(0, small=True)
    net, x = world.student(), world.rows(0).x
    torch.testing.assert_close(net(x.flip(1)), net(x))
    assert (world.rows(0).y == -1).all() and world.validate(net) >= 0
