"""Landmarks: the ring and the map are of one place, what hides what, and that a hidden direction isn't compared."""

import pytest
import torch

from understudy.core.errors import Sealed
from understudy.core.seal import learning
from understudy.worlds.landmarks import DIRECTIONS, Localiser, Pairs, Shape, landmarks


def plain(shape):
    """Compares what is there, without learning anything."""
    net = Localiser(shape)
    net.above = net.within = torch.nn.Identity()
    return net


def test_what_is_seen_around_is_found_on_the_map():
    """Far more often than by chance, with nothing learned; and the test rows are shut."""
    world = landmarks(0)
    assert world.measure(plain(world.shape), world.data.valid)["accuracy"] > 0.4
    assert (world.data.train.y == -1).all() and world.data.valid.y.min() >= 0
    with learning(), pytest.raises(Sealed):
        world.score(plain(world.shape))


def test_pairs_are_the_best_cells_and_hidden_directions_dont_matter():
    world = landmarks(0, small=True)
    net, x = world.student().eval(), world.rows(0).x
    best = net(x).amax(-1)
    torch.testing.assert_close(Pairs(net)(x).diagonal(), best)
    half = x["seen"].clone()
    half[:, : DIRECTIONS // 2] = 0
    other = x["ring"].clone()
    other[..., : DIRECTIONS // 2] = torch.randn_like(other[..., : DIRECTIONS // 2])
    torch.testing.assert_close(net({**x, "seen": half}), net({**x, "ring": other, "seen": half}))
    assert not torch.allclose(net({**x, "seen": half}), net(x))


def test_a_landmark_to_the_east_lies_to_the_right():
    """One landmark three cells east of the camera: in the ring in the middle column, on the map right of its place."""
    shape = Shape(9, 4, 1)
    map_, ring = torch.zeros(1, 4, 9, 9), torch.zeros(1, 4, 4, DIRECTIONS)
    map_[0, 2, 5, 6], ring[0, 2, 2:4, DIRECTIONS // 2 - 1 : DIRECTIONS // 2 + 1] = 1, 1
    said = plain(shape)({"map": map_, "ring": ring, "seen": torch.ones(1, DIRECTIONS)})[0].view(9, 9)
    assert divmod(int(said.argmax()), 9) == (5, 3)
