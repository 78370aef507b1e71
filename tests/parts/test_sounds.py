"""Spectrograms in part, mixed and with hidden frames."""

from __future__ import annotations

import torch

from understudy.parts.sounds import blocks, mixed, segment, stretched


def test_a_segment_is_frames_in_a_row() -> None:
    x = torch.arange(10.0).expand(40, 1, 3, 10)
    part = segment(x, 0.55)
    assert part.shape == (40, 1, 3, 6) and (part.diff(dim=-1) == 1).all()
    assert set(part[:, 0, 0, 0].tolist()) == {0, 1, 2, 3, 4}
    assert torch.equal(segment(x, 1.0), x) and stretched(x).shape == x.shape


def test_powers_are_mixed_and_not_their_logarithms() -> None:
    x = torch.randn(6, 1, 2, 3, dtype=torch.double)
    seen = mixed(x, 0.5)
    own, power = x.exp(), seen.exp()
    for n in range(6):
        found = []
        for m in range(6):
            share = ((power[n] - own[n]) / (own[m] - own[n])).flatten()
            found.append(m == n or (bool(torch.allclose(share, share[:1])) and 0 <= share[0] <= 0.5))
        assert any(found)
    torch.testing.assert_close(mixed(x, 0.0), x, rtol=1e-4, atol=1e-4)


def test_frames_are_hidden_in_runs() -> None:
    hidden = blocks(torch.zeros(500, 1, 2, 40), 0.5, 4)
    assert hidden.shape == (500, 40) and 0.3 < hidden.double().mean() < 0.5
    for row in hidden[:50].tolist():
        runs = "".join("#" if h else " " for h in row).split()
        assert runs and min(map(len, runs)) >= 4
    assert blocks(torch.zeros(3, 1, 2, 2), 0.01, 5).all()
