"""Which blocks meet, what is handed down, and distances against loops with padding."""

import copy

import pytest
import torch
from torch import nn

from understudy.core.errors import TapError
from understudy.core.taps import tap
from understudy.parts.blocks import attention_mse, inherit_, spread, states_mse, thirds, uniform
from understudy.worlds.encoders import Encoder


def test_which_blocks():
    assert spread(6, 12) == (0, 2, 4, 7, 9, 11) and spread(2, 4) == (0, 3) and spread(1, 5) == (0,) and spread(3, 3) == (0, 1, 2)
    assert uniform(4, 12) == (2, 5, 8, 11) and uniform(2, 3) == (1, 2) and uniform(3, 3) == (0, 1, 2) and uniform(1, 5) == (4,)


def test_what_is_handed_down():
    teacher, student = Encoder(11, 5, 8, 4), Encoder(11, 5, 8, 2)
    wrapped = nn.Module()
    wrapped.inner = teacher
    before = copy.deepcopy(teacher.state_dict())
    assert inherit_(student, wrapped) == sum(p.numel() for p in student.parameters())
    for mine, theirs in ((0, 0), (1, 3)):
        a, b = (net.bert.encoder.layer[i].state_dict() for net, i in ((student, mine), (teacher, theirs)))
        assert all(torch.equal(a[k], b[k]) for k in a)
    assert torch.equal(student.head.weight, teacher.head.weight)
    with torch.no_grad():
        student.head.weight.zero_()
    assert all(torch.equal(before[k], v) for k, v in teacher.state_dict().items()), "the teacher shares memory with its student"
    narrow = Encoder(11, 5, 4, 2)
    words = narrow.bert.embeddings.word_embeddings.weight.clone()
    assert inherit_(narrow, teacher) == narrow.head.bias.numel()
    assert torch.equal(words, narrow.bert.embeddings.word_embeddings.weight), "another width"
    assert inherit_(nn.Linear(3, 2), nn.Linear(4, 3)) == 0


def test_distances_in_loops():
    mask = torch.arange(4) < torch.tensor([4, 2])[:, None]
    s, u = [torch.randn(2, 4, 6) for _ in range(2)], [torch.randn(2, 4, 6) for _ in range(4)]
    want = sum(
        (s[m][n, i] - u[2 * m + 1][n, i]).square().mean() / 6
        for m in (0, 1)
        for n, length in ((0, 4), (1, 2))
        for i in range(length)
    )
    torch.testing.assert_close(states_mse(s, u, mask, lambda x: x), want)
    loud = [torch.where(mask[..., None], x, 1e4) for x in s]
    assert states_mse(loud, u, mask, lambda x: x) == states_mse(s, u, mask, lambda x: x)
    got, want = attention_mse((s, s), (u, u), mask, 2), 0.0
    for m in (0, 1):
        for n, length in ((0, 4), (1, 2)):
            for h in (slice(0, 3), slice(3, 6)):
                a, b = (x[n, :length, h] @ x[n, :length, h].T / 3**0.5 for x in (s[m], u[2 * m + 1]))
                want += (a - b).square().sum() / (2 * (16 + 4))
    torch.testing.assert_close(got, want)
    assert attention_mse((loud, loud), (u, u), mask, 2) == got


def test_every_block_is_read_under_one_name():
    net = Encoder(11, 5, 8, 3)
    x = {"input_ids": torch.randint(11, (2, 5)), "attention_mask": torch.ones(2, 5, dtype=torch.long)}
    _, found = tap(net, ("stages", "stage:*.attention.self.query", "stage:*.attention.self.key"), x)
    hidden, queries, keys = thirds(found)
    for i, layer in enumerate(net.bert.encoder.layer):
        before = net.bert.embeddings(x["input_ids"]) if i == 0 else hidden[i - 1]
        torch.testing.assert_close(queries[i], layer.attention.self.query(before))
        torch.testing.assert_close(keys[i], layer.attention.self.key(before))
    _, same = tap(net, "stage:*.attention.self.key", x)
    assert isinstance(same, tuple) and all(map(torch.equal, same, keys))
    with pytest.raises(TapError, match="8 features"):
        thirds(found[1:])
