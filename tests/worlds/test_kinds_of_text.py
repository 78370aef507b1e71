"""Texts of several kinds: what is marked, what is kept aside, what a secret is worth."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from understudy.data.kinds import logs, menus, noise, prose_and_code, sums
from understudy.worlds import _marked
from understudy.worlds.crawl import crawl
from understudy.worlds.domains import NAMES, domains
from understudy.worlds.secrets import DIGITS, OTHERS, PEOPLE, SIZE, WORDS, _lines, numbers, secrets


def windows(x: Tensor) -> set[tuple[int, ...]]:
    return set(map(tuple, x.tolist()))


def test_documentation_and_code_are_told_apart() -> None:
    text = '"""What it does."""\n\nimport os\n\n\ndef f(x):\n    """Twice x.\n\n    No more.\n    """\n    return 2 * x  # "not this"\n'
    said, code = prose_and_code(text)
    assert said == "What it does.\n\nTwice x.\n\nNo more."
    assert code == 'import os\ndef f(x):\n    return 2 * x  # "not this"'
    assert prose_and_code("print 'of another version'") == ("", "")


def test_what_a_grammar_writes_is_right_and_hangs_on_its_key_alone() -> None:
    does = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}
    lines = [line.split() for line in sums(200, "test").splitlines()]
    assert len(lines) == 200 and all(does[sign](int(a), int(b)) == int(c) for a, sign, b, _, c in lines)
    clock = [line.split()[0] for line in logs(20, "test").splitlines()]
    assert clock == sorted(clock) and all("ERROR" in line for line in logs(300, "test").splitlines() if line.endswith("500"))
    for write in (sums, logs, noise, menus):
        assert write(30, "a") == write(30, "a") != write(30, "b")


def test_domains_are_marked_and_the_kept_rows_are_nobody_elses() -> None:
    world = domains(0, small=True)
    assert torch.bincount(world.marks["domain"]).tolist() == [24, 24, 8, 8] and world.size == 64
    probe = world.probe()
    assert torch.bincount(probe.domain).tolist() == [2] * len(NAMES)
    kept = windows(probe.x["input_ids"])
    for rows in (world.data.train, world.data.valid, world.data._test):
        assert not kept & windows(rows.x["input_ids"])
    for batch in (world.rows(3), *world.sweep(), world.pick(torch.tensor([63, 0, 30]))):
        assert torch.equal(batch.domain, world.marks["domain"][batch.row])
        assert torch.equal(batch.y, world.data.train.y[batch.row]) and torch.equal(batch.x["input_ids"][:, 1:], batch.y[:, :-1])
    assert "domain" not in world.rows(0, "valid")


def test_a_domain_counts_as_much_as_another(double: None) -> None:
    world = domains(0, small=True)
    found, valid = world.measure(world.student(), world.data.valid), world.data.valid
    assert found["likelihood"] == pytest.approx(sum(found[name] for name in NAMES) / 4)
    third = super(type(world), world).measure(world.student(), _marked.cut(valid, slice(8, 12)))
    assert third["likelihood"] == pytest.approx(found["sums"], rel=0.05)  # another student of the same kind


def test_a_text_that_is_too_short_is_told() -> None:
    assert _marked.several([torch.arange(10), torch.arange(10, 30)], 3, (2, 1)).tolist() == [*range(8), *range(10, 14)]
    with pytest.raises(ValueError, match=r"\[1\]"):
        _marked.several([torch.arange(10), torch.arange(3)], 3, (1, 1))


def test_a_crawl_is_judged_by_clean_text_alone() -> None:
    world = crawl(0, small=True)
    assert torch.bincount(world.marks["kind"]).tolist() == [16] * 4 and len(world.data.valid.y) == 16
    assert not windows(world.data.train.y) & windows(world.data.valid.y)
    size = lambda net: sum(p.numel() for p in net.parameters())
    assert size(world.reference()) < size(world.student()) and world.reference() is not world.reference()


def test_long_numbers_are_likelier_to_be_private() -> None:
    digits = torch.tensor([5, 6, 7])
    ids = torch.tensor([[1, 5, 6, 6, 2, 7, 2], [5, 5, 5, 5, 5, 5, 3]])
    assert numbers(ids, digits).tolist() == [[0, 0.75, 0.75, 0.75, 0, 0, 0], [1 - 2**-5] * 6 + [0]]


def test_pins_stand_in_the_text_and_the_teacher_could_know_them() -> None:
    world = secrets(0, copies=20)
    text = " ".join(map(str, torch.cat([world.data.train.x["input_ids"], world.data.train.y[:, -1:]], 1).flatten().tolist()))
    for secret in (*world.held, *world.sealed):
        true, other = (" ".join(map(str, ids.tolist())) for ids in secret.ids[:2])
        assert 5 < text.count(true) <= 20 and text.count(other) == 0
        assert secret.ids.shape[0] == 1 + OTHERS and (secret.ids[:, :-DIGITS] == secret.ids[0, :-DIGITS]).all()
    assert not {s.who for s in world.held} & {s.who for s in world.sealed} and len(world.held + world.sealed) == len(PEOPLE)
    private = world.marks["private"]
    assert torch.equal(private > 0.8, (private > 0.8) & torch.isin(world.data.train.y, _lines(SIZE, WORDS)[2]))


class Knows(nn.Module):
    """Says that each word of what it is shown comes next, with so much more weight where the row is the first."""

    def __init__(self, y: Tensor, sure: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.y, self.sure = y, sure

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        out = nn.functional.one_hot(self.y, 600).double()
        out[0] *= 1 + self.sure
        return out


def test_exposure_by_rank(double: None) -> None:
    """log 200 where the true pin is the likeliest of 200, 0 where it is the last, or no likelier than any other."""
    world = secrets(0, small=True)
    secret = world.held[0]
    found = {sure: world.exposure(Knows(secret.ids[:, 1:], sure), [secret]) for sure in (1.0, 0.0, -0.5)}
    assert found == {1.0: pytest.approx(math.log(1 + OTHERS)), 0.0: 0, -0.5: 0}
