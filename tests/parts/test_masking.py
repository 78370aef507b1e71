"""How many are hidden, whole words together, and what is read in their place."""

import torch

from understudy.parts.masking import hide

IDS = torch.randint(5, 50, (200, 40))


def test_rates_and_what_is_read():
    ask = torch.rand(IDS.shape) < 0.7
    read, y = hide(IDS, ask, 0.3, 1, 1000)
    hidden = y >= 0
    assert not (hidden & ~ask).any() and torch.equal(y[hidden], IDS[hidden]) and torch.equal(read[~hidden], IDS[~hidden])
    share = lambda a, b: (a.sum() / b.sum()).item()
    assert abs(share(hidden, ask) - 0.3) < 0.03
    assert abs(share((read == 1) & hidden, hidden) - 0.8) < 0.03 and abs(share((read == IDS) & hidden, hidden) - 0.1) < 0.03
    plain, z = hide(IDS, ask, 0.3, 1, 1000, corrupt=False)
    assert (plain[z >= 0] == 1).all()
    assert (hide(IDS, ask, 0.0, 1, 9)[1] < 0).all() and torch.equal(hide(IDS, ask, 1.0, 1, 9)[1] >= 0, ask)


def test_whole_words():
    words = torch.arange(20).repeat_interleave(2).expand_as(IDS)
    _, y = hide(IDS, torch.ones_like(IDS, dtype=torch.bool), 0.4, 1, 9, words=words)
    pairs = (y >= 0).view(200, 20, 2)
    assert torch.equal(pairs[..., 0], pairs[..., 1]) and 0.35 < pairs.double().mean() < 0.45
    apart = (hide(IDS, torch.ones_like(IDS, dtype=torch.bool), 0.4, 1, 9)[1] >= 0).view(200, 20, 2)
    assert not torch.equal(apart[..., 0], apart[..., 1])
