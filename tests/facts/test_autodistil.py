"""AutoDistil: the distance of a size is the mean of three relations' divergences, and the search is the exhaustive one."""

import torch

from understudy.core.run import artefact, start
from understudy.methods import autodistil
from understudy.parts.supernet import count
from understudy.worlds.encoders import superencoders


def by_hand(u, s, mask, heads):
    """KL of softmax(X X^T / sqrt(d)) in loops; [N, L, D], [N, L, d] -> float"""
    total = 0.0
    for row, n in enumerate(mask.sum(1).tolist()):
        for one, two in zip(u[row, :n].chunk(heads, -1), s[row, :n].chunk(heads, -1), strict=True):
            p, q = ((x @ x.T / x.shape[1] ** 0.5).softmax(1) for x in (one, two))
            total += (p * (p / q).log()).sum().item() / (n * heads * len(u))
    return total


def test_the_nearest_within_the_limit_is_what_comes_out(double):
    method = autodistil(limit=0.5, k=2)
    run = start(method, superencoders(3, small=True), 3, device="cpu")
    rows = run.rows("valid", 0)
    _, asked = run.tap("teacher", method.teacher_at, rows.x)
    far = {}
    for name, sizes in method.sizes(run).items():
        for size in sizes:
            _, found = run.tap(name, method.student_at, rows.x, size)
            mask = rows.x["attention_mask"] > 0
            far[name, size] = sum(by_hand(u, f, mask, 4) for u, f in zip(asked, found, strict=True)) / 3
            with torch.no_grad():
                torch.testing.assert_close(method.apart(run, name, size, rows, asked)[1].item(), far[name, size])
    most = count(run["student"], run["student"].space.largest) / 2
    name, size = min((c for c in far if count(run[c[0]], c[1]) <= most), key=far.__getitem__)
    found = artefact(run)
    assert found.space.largest == size
    torch.testing.assert_close(found(rows.x), run[name](rows.x, size), rtol=1e-12, atol=1e-12)
