"""The sums: solved lines are right, answers are marked by the rule, and writing with a cache is writing without one."""

from __future__ import annotations

import torch
from torch import nn

from understudy.worlds.sums import sums

LETTERS = "0123456789+=."


def test_lines_are_right_and_splits_apart() -> None:
    world = sums(0)
    lines = {k: ["".join(LETTERS[i] for i in row) for row in v.tolist()] for k, v in world.splits.items()}
    for text in lines["valid"]:
        ask, said = text.split("=")
        assert int(said[:2]) == sum(map(int, ask.split("+"))) and text.endswith(".")
    assert len({*lines["train"], *lines["valid"], *lines["test"]}) == 10_000
    b = world.rows(3)
    assert torch.equal(b.y[:, 7:], torch.cat([b.x[:, 8:], torch.full((16, 1), 12)], 1)) and (b.y[:, :7] == -1).all()


def test_answers_are_marked_by_the_rule() -> None:
    world = sums(0)
    asks = world.splits["valid"][:3, :8]

    class Says(nn.Module):
        def write(self, x: torch.Tensor, more: int, greedy: bool) -> torch.Tensor:
            said = world.splits["valid"][:3, 8:].clone()
            said[1, 1] = (said[1, 1] + 1) % 10  # a wrong digit
            said[2] = torch.tensor([12, 12, 12])  # silence
            return torch.cat([x, said], 1)

    done = world.play(Says(), asks)
    assert done.reward.tolist() == [1, 0, 0]
    assert done.mask[:, 7:].tolist() == [[1, 1, 1], [1, 1, 1], [1, 0, 0]] and not done.mask[:, :7].any()


def test_the_cache_changes_nothing() -> None:
    world = sums(0, small=True)
    net, x = world.student(), world.rows(0).prompt
    said, slow = net.write(x, 3, greedy=True), x  # type: ignore[operator]
    for _ in range(3):
        slow = torch.cat([slow, net(slow)[:, -1].argmax(-1, keepdim=True)], 1)
    live = (slow[:, 4:] == 12).cumsum(1) <= 1
    assert torch.equal(said[:, 4:][live], slow[:, 4:][live])
