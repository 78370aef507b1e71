"""BIOptimus: a new token's vector in loops over its contexts, all else the teacher's; the four phases of hiding."""

import pytest
import torch

from understudy.core.errors import Refused
from understudy.core.run import start
from understudy.methods import bioptimus
from understudy.worlds.encoders import encoders
from understudy.worlds.jargon import jargon

MASK = 1


@pytest.mark.parametrize("begin", ["context", "pieces"])
def test_new_tokens_begin_as_means_over_contexts_of_means_over_pieces(double, begin):
    world = jargon(1, small=True)
    run = start(bioptimus(begin=begin), world, 1, device="cpu")
    teacher, table = run["teacher"], run["student"].bert.embeddings.word_embeddings.weight.detach()
    old, said = world.data.old, world.data.train
    own, ids = said.x["student"]["input_ids"], said.x["teacher"]["input_ids"]
    with torch.no_grad():
        states = (
            teacher.bert(**said.x["teacher"]).last_hidden_state
            if begin == "context"
            else teacher.bert.embeddings.word_embeddings(ids)
        )
    seen = {}
    for n, i in (own >= old).nonzero().tolist():
        pieces = said.words["teacher"][n] == said.words["student"][n, i]
        assert "+".join(world.data.words[p] for p in ids[n][pieces]) == world.data.words[own[n, i]]
        seen.setdefault(own[n, i].item(), []).append(states[n][pieces].mean(0))
    means = {v: torch.stack(each).mean(0) for v, each in seen.items()}
    scale = table[:old].norm(dim=1).mean() / torch.stack(list(means.values())).norm(dim=1).mean()
    assert len(means) > 5 and torch.equal(table[:old], teacher.bert.embeddings.word_embeddings.weight)
    for v, mean in means.items():
        torch.testing.assert_close(table[v], scale * mean)
    mine, its = run["student"].bert.encoder.state_dict(), teacher.bert.encoder.state_dict()
    assert (
        all(torch.equal(mine[k], its[k]) for k in its)
        and run["student"].head.weight is run["student"].bert.embeddings.word_embeddings.weight
    )


def test_the_four_phases(double):
    """Whole words from the second on, more of them from the third on, and in the fourth nothing but masks."""
    world = jargon(1, small=True, batch=64)
    run = start(bioptimus(rate=0.15, late=0.4), world, 1, device="cpu")
    found = []
    for phase in range(4):
        run.step = phase * world.steps // 4
        parts = [(run.method.source(run), run.rows()) for _ in range(4)]
        hidden = torch.cat([b.y >= 0 for b, _ in parts])
        read = torch.cat([b.x["student"]["input_ids"] for b, _ in parts])
        words = torch.cat([r.words["student"] for _, r in parts])
        same = (words[:, 1:] == words[:, :-1]) & (words[:, 1:] >= 0)
        whole = torch.equal((hidden[:, 1:] & same), (hidden[:, :-1] & same))
        share = (hidden.sum() / (words >= 0).sum()).item()
        found.append(
            (
                whole,
                0.15 if abs(share - 0.15) < 0.05 else 0.4 if abs(share - 0.4) < 0.05 else share,
                (read[hidden] == MASK).all().item(),
            )
        )
    assert found == [(False, 0.15, False), (True, 0.15, False), (True, 0.4, False), (True, 0.4, True)]


def test_rows_in_one_tokenisation_are_refused():
    with pytest.raises(Refused, match="two tokenisations"):
        start(bioptimus(), encoders(1, small=True), 1, device="cpu")
