"""LLM2LLM."""

import torch
from torch import nn

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.world import recast
from understudy.worlds import WORLDS


class Scribe(nn.Module):
    """Marks what it was asked about: the sentence, its last word replaced by 99."""

    def forward(self, x, y):
        return torch.cat([x[:, :-1], torch.full_like(x[:, :1], 2)], 1)


def made(**fields):
    world = WORLDS["intents"](0, small=True)
    return start(registry.get("llm2llm")(rounds=3, **fields), recast(world, teacher=Scribe, steps=12), 1, device="cpu")


def test_what_was_wrong_at_a_rounds_end_is_what_gets_new_rows():
    """Twice each, and the student is at its base again, its optimiser too."""
    run, seen = fit(made(new=2), 3), []
    assert int(run["pool"].count) == 16, "rows were written within a round"
    run["student"].register_forward_hook(lambda _m, x, out: seen.append((x[0], out.argmax(-1))))
    fit(run, 4)
    x, said = seen[-1]  # the round's last question: all seeds
    wrong = (said != run["seeds"].y).nonzero().flatten()
    new = slice(16, 16 + 2 * len(wrong))
    assert torch.equal(x, run["seeds"].x) and len(wrong) and int(run["pool"].count) == new.stop
    assert torch.equal(run["pool"].x[new], Scribe()(x[wrong], said).repeat(2, 1))
    assert torch.equal(run["pool"].y[new], run["seeds"].y[wrong].repeat(2))
    assert all(torch.equal(v, run["base"].state_dict()[k]) for k, v in run["student"].state_dict().items())
    assert not any(p in run.opts["student"].state for p in run["student"].parameters())


def test_the_last_round_is_learned_from_and_nothing_rewrites_what_was_written():
    run = fit(made(new=1), 12)
    assert any(not torch.equal(v, run["base"].state_dict()[k]) for k, v in run["student"].state_dict().items())
    assert torch.equal(run["pool"].x[:16], run["seeds"].x) and int(run["pool"].count) <= 16 * 3


def test_any_seeds_are_as_many_as_the_wrong_ones():
    a, b = (fit(made(targets=t), 4) for t in ("wrong", "any"))
    assert int(a["pool"].count) == int(b["pool"].count)
