"""A network taken out of the big one says what the big one said at that size, and has the parameters that were counted."""

import pytest
import torch

from understudy.core.errors import Refused
from understudy.core.taps import tap
from understudy.parts.supernet import Size, Space, SuperNet, count, extract, kept

SPACE = Space((1, 2, 3), (4, 8, 12), (1, 2, 3), (1, 1.5, 3))


@pytest.fixture
def net(double) -> SuperNet:
    made = SuperNet(SPACE, 11, 6, head=4)
    with torch.no_grad():
        for p in made.parameters():
            p.normal_()
    return made


def rows():
    mask = torch.arange(6) < torch.tensor([6, 2])[:, None]
    return {"input_ids": torch.randint(11, (2, 6)), "attention_mask": mask.long()}


@pytest.mark.parametrize("size", [SPACE.smallest, Size(2, 8, 3, 1.5), Size(2, 12, 1, 1), SPACE.largest])
def test_extraction_keeps_every_answer(net, size):
    x, alone = rows(), extract(net, size)
    torch.testing.assert_close(alone(x), net(x, size), rtol=1e-12, atol=1e-12)
    assert count(net, size) == sum(p.numel() for p in alone.parameters())
    for name in ("stage:-1.query", "stage:-1.value"):  # the last block runs at any depth
        torch.testing.assert_close(tap(alone, name, x)[1], tap(net, name, x, size)[1], rtol=1e-12, atol=1e-12)


def test_a_sub_space_keeps_the_sizes_inside_it(net):
    part = Space((1, 2), (4, 8), (1, 2), (1, 1.5))
    x, some = rows(), extract(net, part)
    before = torch.get_rng_state()
    torch.testing.assert_close(some(x), net(x, part.largest), rtol=1e-12, atol=1e-12)
    assert torch.equal(before, torch.get_rng_state()) and some.space == part
    with pytest.raises(Refused, match="size"):
        extract(some, SPACE.largest)


def test_gradients_reach_the_shared_weights_only(net):
    net(rows(), SPACE.smallest).sum().backward()
    assert net.blocks[0].query.weight.grad is None and net.blocks[2].query.weight.grad is not None
    assert not net.blocks[2].up.weight.grad[:, 4:].any() and not net.blocks[2].up.weight.grad[4:].any()


def test_partition():
    small, large = SPACE.parts(3)[0], SPACE.parts(3)[2]
    assert small.sizes() == [SPACE.smallest] and large.sizes() == [SPACE.largest] and SPACE.parts(1) == [SPACE]
    assert [p.depths for p in Space((1, 2), (8,), (1, 2, 3, 4), (1,)).parts(4)] == [(1,), (1,), (2,), (2,)]
    assert len(SPACE.sizes()) == 81 and SPACE.sizes()[0] == SPACE.smallest and SPACE.sizes()[-1] == SPACE.largest
    assert [kept(d, 4) for d in (1, 2, 3, 4)] == [[3], [1, 3], [1, 2, 3], [0, 1, 2, 3]]
