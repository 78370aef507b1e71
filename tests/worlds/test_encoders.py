"""The generated language is as it says; real sentences are read from columns; the probe reads what is there and no more."""

import random

import pytest
import torch
from torch import nn

from understudy.core.errors import Refused, Sealed
from understudy.core.seal import learning
from understudy.worlds import encoders as home
from understudy.worlds.encoders import encoders, halfencoders, superencoders


def test_rows_hide_words_and_padding_is_not_asked_for():
    world = encoders(5, small=True)
    a, b, again = world.rows(3), world.rows(4), world.rows(3)
    assert torch.equal(a.x["input_ids"], again.x["input_ids"]) and not torch.equal(a.x["input_ids"], b.x["input_ids"])
    asked = a.y >= 0
    assert (a.x["input_ids"][asked] == home.MASK).all() and (a.x["attention_mask"][asked] == 1).all() and asked.any(1).all()
    assert not (a.x["input_ids"][~asked] == home.MASK).any() and (a.x["input_ids"][a.x["attention_mask"] == 0] == home.PAD).all()
    with pytest.raises(Sealed):
        _ = world.data.test


@pytest.mark.parametrize("make", [encoders, halfencoders, superencoders])
@pytest.mark.parametrize("dtype", [torch.float, torch.double])
def test_networks_answer_for_every_word_and_pads_change_nothing(make, dtype):
    torch.set_default_dtype(dtype)
    world = make(1, small=True)
    x = world.rows(0).x
    for net in (world.student().eval(), world.teacher().eval()):
        out = net(x)
        assert out.dtype == dtype and out.shape == (*x["input_ids"].shape, world.data.size)
        noise = x | {"input_ids": torch.where(x["attention_mask"] > 0, x["input_ids"], 7)}
        torch.testing.assert_close(net(noise)[x["attention_mask"] > 0], out[x["attention_mask"] > 0])
        assert 0 <= world.validate(net) <= 1


class Knows(nn.Module):
    """Hidden states that are the tags themselves."""

    def __init__(self, part, tags):
        super().__init__()
        self.part, self.tags, self.head = part, tags, nn.Linear(tags, 3)

    def forward(self, x):
        rows = [(self.part["input_ids"] == ids).all(1).nonzero()[0, 0] for ids in x["input_ids"]]
        return self.head(
            nn.functional.one_hot(self.part["y"][torch.stack(rows)].clamp(min=0), self.tags).to(self.head.weight.dtype)
        )


def test_the_probe_reads_tags_where_they_are():
    world = encoders(2, small=True)
    few, check = world.data.few, world.data.check
    part = {"input_ids": torch.cat([few.x["input_ids"], check.x["input_ids"]]), "y": torch.cat([few.y, check.y])}
    assert world.validate(Knows(part, len(world.data.tags))) > 0.95 > world.validate(world.student())
    with learning(), pytest.raises(Sealed):
        world.score(world.student())


def test_number_is_always_told_and_verbs_agree_with_their_subject():
    chance = random.Random(1)
    for _ in range(300):
        said = home._sentence(chance)
        subject = next(t for _, t in said if t.startswith("subj"))[-2:]
        verbs = [(w, t) for w, t in said if t.startswith("verb")]
        assert verbs and all(t[-2:] == subject and w.endswith("s") == (subject == "sg") for w, t in verbs)
        assert len(said) <= 14 and said[-1][0] == "."


def test_real_sentences(tmp_path):
    columns = "".join(f"Ann{i % 3}\tx\tB-per\nsees\tx\tO\nRome\tx\tB-loc\n\n" for i in range(120))
    (tmp_path / "a.conll").write_text("-DOCSTART-\tO\n\n" + columns)
    (tmp_path / "b.conll").write_text(columns.replace("\tx\t", " ").rstrip("\n"))
    world = encoders(0, path=tmp_path)
    assert world.metric == "f1" and world.data.tags == ["B-loc", "B-per", "O"] and "rome" in world.data.words
    parts = (world.data.few, world.data.train, world.data.check, world.data.test, world.data.pool)
    assert sum(len(p.y) for p in parts) == 240 and all(len(p.y) for p in parts)
    assert 0 <= world.validate(world.student()) <= 1
    with pytest.raises(Refused, match="path="):
        encoders(0, path=tmp_path / "nowhere")
    (tmp_path / "c.conll").write_text("word\n")
    with pytest.raises(Refused, match=r"c\.conll:1"):
        encoders(1, path=tmp_path / "c.conll")
    (tmp_path / "d.conll").write_text("a O\n")
    with pytest.raises(Refused, match="200 sentences"):
        encoders(1, path=tmp_path / "d.conll")


def test_labelled_sentences(tmp_path):
    """A label a sentence is the tag of each of its words; a file with empty lines is one of columns."""
    file = tmp_path / "questions.all"
    file.write_text("".join(f"{i % 3} how far is it from {'abc'[i % 3]} to Aspen ?\n" for i in range(240)))
    world = encoders(0, path=file)
    assert world.data.tags == ["0", "1", "2"] and "aspen" in world.data.words and world.metric == "f1"
    few = world.data.few
    for ids, y in zip(few.x["input_ids"], few.y, strict=True):
        said = [world.data.words[i] for i in ids if i]
        assert y[: len(said)].tolist() == ["abc".index(said[5])] * len(said) and (y[len(said) :] == -1).all()
    assert world.student()(world.rows(0).x).shape[-1] == world.data.size
    columns = tmp_path / "numbers.conll"
    columns.write_text("1 O\n\n" * 240)
    assert encoders(0, path=columns).data.tags == ["O"]
