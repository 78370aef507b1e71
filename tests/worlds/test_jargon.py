"""Two tokenisations of one sentence; what is a noun and what a verb; where tags stand."""

import itertools

import torch

from understudy.worlds.jargon import jargon


def test_both_tokenisations_say_the_same():
    world = jargon(1, small=True)
    said, word = world.data.train, world.data.words
    spell = lambda ids, words, w: "+".join(word[t] for t in ids[words == w])
    whole = split = 0
    for n in range(len(said.y)):
        (own, own_words), (its, its_words) = ((said.x[k]["input_ids"][n], said.words[k][n]) for k in ("student", "teacher"))
        assert own_words.max() == its_words.max() and torch.equal(own_words >= 0, own > 0) and (its < world.data.old).all()
        for w in range(int(own_words.max()) + 1):
            assert spell(own, own_words, w) == spell(its, its_words, w)
            pieces = (its_words == w).sum().item()
            whole += pieces > (own_words == w).sum().item()
            split += pieces > 1 and (own_words == w).sum().item() > 1
        assert torch.equal(said.y[n], torch.where(own > 0, own, -1))
    assert whole > 50 and split > 10, "some compounds are one token, some stay in pieces"


def test_tags_stand_on_the_last_token_of_a_word_and_a_compound_is_noun_or_verb():
    world = jargon(1)
    few, kinds = world.data.few, {}
    for ids, y in zip(few.x["input_ids"], few.y, strict=True):
        for i, tag in zip(ids.tolist(), y.tolist(), strict=True):
            if i >= world.data.old:
                role, number = world.data.tags[tag].split(".")
                kinds.setdefault(world.data.words[i].removesuffix("s"), set()).add("verb" if role == "verb" else "noun")
                assert world.data.words[i].endswith("s") == (number == "pl") ^ (role == "verb")
    assert len(kinds) > 10 and all(len(k) == 1 for k in kinds.values())
    pieces = [(a, b) for row in few.y.tolist() for a, b in itertools.pairwise(row) if a == -1 and b >= 0]
    assert pieces, "no compound in pieces among the tagged"


def test_the_rows_of_a_step_come_with_their_words():
    world = jargon(1, small=True)
    rows, data = world.rows(2), world.data.train
    for side in ("student", "teacher"):
        assert torch.equal(rows.words[side], data.words[side][rows.row])
        assert torch.equal(rows.x[side]["input_ids"], data.x[side]["input_ids"][rows.row])
    assert sum(len(r.row) for r in world.sweep()) == world.size
