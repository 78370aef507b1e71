"""Digits in a row: what is asked of each frame is what is said there, and of the whole all of it."""

import torch

from understudy.worlds.hearing import LENGTH, hearing, strung


def test_frames_are_labelled_with_what_is_said_there():
    """Three tones of one speaker one behind the other: a frame is labelled by the tone that is loud in it."""
    hertz = torch.tensor([400.0, 1000.0, 2500.0])
    wave = (2 * torch.pi * hertz[:, None] * torch.arange(LENGTH) / 8000).sin()
    seen, y = strung(wave, torch.tensor([LENGTH, 3000, 2000]), torch.tensor([0, 1, 2]), torch.zeros(3, dtype=torch.long))
    assert seen.shape == (1, 24, 45) and y.shape == (1, 45) and set(y[0].tolist()) == {0, 1, 2, 10}
    assert (y[0] == 10).sum() >= 45 * 0.2 and (seen[0, :, y[0] == 10][:, 1:] <= seen.amax() - 40).all()
    loudest = seen[0].argmax(0)
    tops = [loudest[y[0] == k].mode().values.item() for k in range(3)]
    assert tops == sorted(tops) and len(set(tops)) == 3
    assert sum((loudest[y[0] == k] == tops[k]).double().mean() for k in range(3)) > 2.5


def test_nobody_is_told_and_an_encoder_is_measured_twice():
    world = hearing(0, small=True)
    assert (world.rows(0).y == -1).all() and world.rows(0).x.shape == (8, 1, 12, 15)
    found = world.measure(world.student(), world.data.valid)
    assert found["accuracy"] == (found["clip"] + found["frame"]) / 2 and 0 < found["clip"] < 1
