"""Patches and back, which are hidden, what is read of the rest, and what is told of all."""

import math

import pytest
import torch

from understudy.core.errors import Refused
from understudy.parts.masked import (
    Decoder,
    Encoder,
    Masked,
    Restoring,
    grid_of,
    multiblock,
    patches,
    pieced,
    positions,
    restored,
    scattered,
    seen,
)


def test_patches_by_hand_and_back():
    x = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    found = patches(x, (2, 3))
    assert found.shape == (2, 4, 18)
    assert torch.equal(found[1, 3], x[1, :, 2:4, 3:6].flatten())
    assert torch.equal(pieced(found, (2, 2), (2, 3)), x)
    clip = torch.randn(2, 1, 4, 4, 6)
    assert torch.equal(patches(clip, (2, 2, 3))[0, 5], clip[0, :, 2:4, 0:2, 3:6].flatten())
    assert torch.equal(pieced(patches(clip, (2, 2, 3)), (2, 2, 2), (2, 2, 3)), clip)


def test_positions_tell_every_place_apart():
    for grid, width in (((4, 4), 32), ((4, 4, 4), 32), ((2, 3), 4)):
        place = positions(grid, width)
        assert place.shape == (torch.Size(grid).numel(), width)
        assert torch.pdist(place).min() > 1e-3
    assert positions((3, 2), 4)[3].tolist() == pytest.approx([math.sin(1), math.cos(1)] * 2)
    with pytest.raises(Refused, match="6 or more for 3 axes"):
        positions((2, 2, 2), 4)


def test_as_many_are_hidden_in_every_row():
    for share, count in ((0.75, 12), (0.0, 1), (1.0, 15)):
        assert (scattered(7, 16, share).sum(1) == count).all()
    often = scattered(4000, 16, 0.75).double().mean(0)
    assert (often - 0.75).abs().max() < 0.04


@pytest.mark.parametrize(("many", "share"), [(8, 0.15), (2, 0.7), (1, 1.0), (1, 0.01)])
def test_blocks_go_through_all_frames_and_leave_something(many, share):
    hidden = multiblock(50, (3, 4, 5), many, share).view(50, 3, 20)
    assert (hidden == hidden[:, :1]).all()
    count = hidden[:, 0].sum(1)
    assert (count == count[0]).all() and 1 <= count[0] <= 19


def test_one_block_is_a_rectangle():
    for frame in multiblock(40, (4, 6), 1, 0.3).view(40, 4, 6):
        rows, columns = frame.any(1), frame.any(0)
        assert torch.equal(frame, rows[:, None] & columns) and rows.sum() * columns.sum() == frame.sum()


def test_what_is_hidden_is_not_read(double):
    net, x, hidden = Encoder((1, 8, 8), (2, 2), 8, 1), torch.randn(3, 1, 8, 8), scattered(3, 16, 0.5)
    other = pieced(torch.where(hidden[..., None], torch.randn(3, 16, 4), patches(x, (2, 2))), (4, 4), (2, 2))
    torch.testing.assert_close(net(x, hidden), net(other, hidden))
    assert not torch.allclose(net(x), net(other)) and net(x, hidden).shape == (3, 8, 8)
    torch.testing.assert_close(net(x, torch.zeros_like(hidden)), net(x))


def test_the_decoder_puts_all_back_in_its_place(double):
    decoder, hidden = Decoder((2, 3), 5, 4, 0), torch.tensor([[True, False, False, True, True, False]])
    tokens = torch.randn(1, 6, 5)
    out = decoder(seen(tokens, hidden), hidden)
    for i, blank in enumerate(hidden[0]):
        inner = decoder.blank if blank else decoder.embed(tokens[0, i])
        torch.testing.assert_close(out[0, i], inner + decoder.place[i])


def test_only_hidden_patches_count(double):
    x, said, hidden = torch.randn(2, 1, 4, 4), torch.randn(2, 4, 4), scattered(2, 4, 0.5)
    found = restored(said, x, (2, 2), hidden)
    for i in range(2):
        far = []
        for k in hidden[i].nonzero()[:, 0]:
            piece = patches(x, (2, 2))[i, k]
            far.append((said[i, k] - (piece - piece.mean()) / (piece.var() + 1e-6).sqrt()).square().mean())
        torch.testing.assert_close(found[i], torch.stack(far).mean())
    right = patches(x, (2, 2)).masked_fill(~hidden[..., None], 9.0)
    assert restored(right, x, (2, 2), hidden, normal=False).abs().max() == 0


def test_it_learns_to_restore():
    torch.manual_seed(0)
    x = torch.rand(32, 1, 8, 1).round().expand(-1, -1, -1, 8) + 0.1 * torch.linspace(-1, 1, 8)  # rows tell what is hidden
    encoder = Encoder((1, 8, 8), (2, 2), 16, 1)
    net = Restoring(Masked(encoder, Decoder(encoder.grid, 16, 16, 1, 4), torch.nn.Linear(16, 3)), 0.5)
    adam = torch.optim.Adam(net.parameters(), 1e-2)
    far = []
    for _ in range(60):
        loss = net(x).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        far.append(loss.item())
    assert far[-1] < 0.5 * far[0]
    assert net.net(x).shape == (32, 3) and grid_of(net.net) == (4, 4)
    with pytest.raises(Refused, match="patches"):
        grid_of(torch.nn.Identity())
