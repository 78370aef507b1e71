"""The intents: what the grammar writes, what a folder holds, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from understudy.core.errors import Refused
from understudy.worlds.intents import intents


def test_seeds_are_few_and_of_every_intent() -> None:
    world = intents(0)
    assert world.size == 60 and world.data.train.y.bincount().tolist() == [10] * 6 and len(world.data.valid.y) == 300
    words = world.data.words
    assert all(torch.equal(words.read(words.text(x)), x) for x in world.data.train.x)
    assert torch.equal(intents(0).data.train.x, world.data.train.x) and not torch.equal(
        intents(1).data.train.x, world.data.train.x
    )


def test_a_writer_writes_words() -> None:
    world = intents(0, small=True)
    b = world.rows(0)
    said = world.teacher()(b.x, b.y)  # type: ignore[misc]
    assert said.shape == b.x.shape and not ((said > 0) & (said < world.data.words.first)).any()
    assert ((said == 0).long().diff(dim=1) >= 0).all(), "a word after the end"


def folder(tmp_path: Path, name: str = "TREC") -> Path:
    for split, n in (("train", 400), ("test", 20)):
        lines = (f"{i % 2} {('how many', 'who wrote')[i % 2]} book number {i} ?" for i in range(n))
        (tmp_path / f"{name}.{split}.all").write_text("\n".join(lines) + "\n", "latin-1")
    return tmp_path


def test_real_sentences_are_read(tmp_path: Path) -> None:
    world = intents(3, path=folder(tmp_path), seeds=50)
    assert world.size == 50 and len(world.data.test.y) == 20 and len(world.data.classes) == 2
    row = world.data.train
    assert world.data.words.text(row.x[0]).startswith(("how many", "who wrote")[int(row.y[0])])
    assert intents(4, path=folder(tmp_path), seeds=50).data.train.x.tolist() != row.x.tolist()


def test_what_is_no_such_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"intents.path=.*one file TREC.train"):
        intents(0, path=tmp_path)
    (folder(tmp_path) / "TREC.train.all").write_text("0 fine\nno label here\n")
    with pytest.raises(Refused, match=r"TREC.train.all:2='no label here'"):
        intents(1, path=tmp_path)
