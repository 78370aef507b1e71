"""OBoW: the loss by a loop; the words are places that the average saw, and what is told follows them."""

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.worlds.gallery import gallery


def run(**settings):
    return start(get("obow")(**settings), gallery(0, small=True), 1, device="cpu")


def test_by_a_loop(double):
    r = run(words=6, kappa=3.0, small=2, large=1)
    batch = r.method.source(r)
    got = r.method.loss(r, batch)
    for name, crops in (("large", 1), ("small", 2)):
        f, found = r["student"](batch[name]), []
        for level in range(2):
            words = r["vocabulary"][level].ring.rows
            weights = torch.nn.functional.normalize(r["weigh"][level](torch.nn.functional.normalize(words, dim=1)), dim=1)
            for i, v in enumerate(f):
                q, bag = (3 * v @ weights.T).softmax(0), batch.bags[level][i % 8]
                found.append((bag * (bag / q).log()).sum().item())
        assert len(found) == 2 * 8 * crops and got[name].item() == pytest.approx(sum(found) / len(found))


def test_words_are_what_the_average_saw(double):
    """8 pictures a step into 16 words: after two steps all are renewed, of the first level by means of 3 x 3 places."""
    r, seen = run(words=16), []
    fit(r, 2, watch=lambda _r, batch, _t: seen.append(batch.levels[0]))
    means = torch.nn.functional.avg_pool2d(torch.cat(seen), 3, 1).flatten(2).mT
    words = r["vocabulary"][0].ring.rows
    assert (torch.cdist(means, words[:, None]).amin(1) < 1e-9).all() and not any(u.requires_grad for u in seen)
