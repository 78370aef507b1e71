"""Events and pictures of them."""

import torch

from understudy.parts.events import Integrator, events, stacked, voxels


def test_events_against_a_loop(double):
    light = torch.randn(2, 5, 3, 3).cumsum(1)
    made = events(light, 0.4)
    for n in range(2):
        for i in range(3):
            for j in range(3):
                last = light[n, 0, i, j].item()
                for t in range(4):
                    fired, way = 0, 1 if light[n, t + 1, i, j].item() > last else -1
                    while way * (light[n, t + 1, i, j].item() - last) >= 0.4:
                        last, fired = last + 0.4 * way, fired + 1
                    assert made[n, :, t, i, j].tolist() == ([fired, 0] if way > 0 else [0, fired])


def test_the_sum_of_events_is_the_light_but_for_a_threshold(double):
    """Where nothing fades, until it's mended."""
    light, made = torch.randn(2, 6, 4, 4).cumsum(1), Integrator()
    made.keep.data.fill_(50.0)
    said, picture = made(events(light, 0.1))
    assert ((0.1 * said[:, :, 0].transpose(0, 1) - (light[:, 1:] - light[:, :1])).abs() < 0.1 + 1e-9).all()
    assert picture.abs().max() <= 1 and said.shape == picture.shape == (5, 2, 1, 4, 4)


def test_representations_count():
    x = torch.randint(4, (2, 2, 3, 4, 4)).float()
    assert torch.equal(stacked(x)[:, 0] - stacked(x)[:, 1], voxels(x).sum(1))
