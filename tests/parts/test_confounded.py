"""Missing tokens, strata and usual words, against loops."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.parts.confounded import Corrected, Stratified, features, rebuilt, scattered, strata, usual, without


def some(n: int = 6) -> dict[str, Tensor]:
    return {"text": torch.randint(9, (n, 4)), "sound": torch.randn(n, 3, 2)}


def test_tokens_that_are_gone() -> None:
    x = some(200)
    gone = scattered(x, 0.3)
    left = without(x, gone, 9)
    assert abs(torch.cat([g.flatten() for g in gone.values()]).float().mean() - 0.3) < 0.05
    assert (left["text"][gone["text"]] == 9).all() and (left["sound"][gone["sound"]] == 0).all()
    assert all(torch.equal(left[k][~gone[k]], x[k][~gone[k]]) for k in x)


def test_only_what_was_gone_is_rebuilt() -> None:
    said, x, gone = torch.randn(2, 3, 4), torch.randn(2, 3, 4), torch.tensor([[True, False, False], [False, True, True]])
    want = sum(F.smooth_l1_loss(said[i, k], x[i, k]) for i in range(2) for k in range(3) if gone[i, k]) / 3
    torch.testing.assert_close(rebuilt(said, x, gone), want)
    assert rebuilt(said, x, gone & False) == 0


def test_means_of_classes_and_usual_words() -> None:
    x, y = some(), torch.tensor([0, 2, -1, 2, 0, 0])
    words, sound = features(x, 10)
    assert words[0].tolist() == [(x["text"][0] == w).double().mean().item() for w in range(10)]
    f, share = strata(sound, y, 3)
    torch.testing.assert_close(f[0], x["sound"][[0, 4, 5]].mean((0, 1)))
    assert share.tolist() == pytest.approx([3 / 5, 0, 2 / 5]) and not f[1].any()
    ids = torch.tensor([[1, 1, 2], [1, 3, 3], [1, 2, 4]])
    assert usual(ids, 5, 2 / 3).tolist() == [False, True, True, False, False]


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(11, 4), nn.Linear(4, 3)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        out: Tensor = self.head(self.embed(x["text"]).mean(1) + x["sound"].mean((1, 2))[:, None])
        return out


def judged(strata: int) -> tuple[Stratified, list[Tensor], Tensor]:
    means, share = [torch.randn(strata, 11), torch.randn(strata, 2)], torch.rand(strata).softmax(0)
    return Stratified(Bag(), means, share, 4, 3), means, share


def test_an_answer_is_the_mean_over_strata() -> None:
    net, means, share = judged(3)
    x, p, fair = some(), 0.0, 0.0
    z = net.inner(x)
    for i in range(3):
        for rule in ("own", "all"):
            told = [e(m[i] if rule == "own" else m.mean(0)) for e, m in zip(net.encoders, means, strict=True)]
            said = net.judges[i](torch.cat([z, torch.cat(told).expand(len(z), -1)], 1)).softmax(1)
            if rule == "own":
                p = p + share[i] * said
            else:
                fair = fair + said / 3
    torch.testing.assert_close(net(x).exp(), p)
    torch.testing.assert_close(net(x, True).exp(), fair)


def test_what_usual_words_suggest_is_taken_off() -> None:
    net, _, _ = judged(1)
    common = torch.zeros(11, dtype=torch.bool)
    common[2] = True
    x = some(1) | {"text": torch.tensor([[2, 5, 9, 7]])}
    only = x | {"text": torch.tensor([[2, 10, 9, 10]])}
    torch.testing.assert_close(Corrected(net, common, 10, 9, 0.5)(x), net(x, True) - 0.5 * net(only, True))
    torch.testing.assert_close(Corrected(net, common, 10, 9, 0.0)(x), net(x, True))
