"""An oracle whose every probability is known."""

import itertools

import pytest
import torch

from understudy.core.errors import Refused
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.worlds.whispers import LONG, PROMPT, WORDS, Oracle, asked, whispers


def test_the_oracle_by_all_hidden_paths(double):
    """Of two words: the sum over all states that could have said them."""
    oracle = Oracle(3)
    words = torch.tensor([[5, 9]])
    told = oracle.logits(words)[0].exp()
    states = range(len(oracle.begin))
    heard = oracle.begin * oracle.say[:, 5]
    after_one = heard / heard.sum() @ oracle.move @ oracle.say
    assert torch.allclose(told[0], after_one) and torch.allclose(told.sum(-1), torch.ones(2))
    paths = {(a, b): heard[a] * oracle.move[a, b] * oracle.say[b, 9] for a, b in itertools.product(states, states)}
    after_two = sum(p * oracle.move[b] for (_, b), p in paths.items()) / sum(paths.values()) @ oracle.say
    assert torch.allclose(told[1], after_two)


def test_it_says_what_it_tells(double):
    oracle = Oracle(0)
    with stream("many"):
        first = oracle.draw(40_000, 1)[:, 0].bincount(minlength=WORDS) / 40_000
    assert (first - oracle.begin @ oracle.say).abs().max() < 0.01


def test_only_answers_are_asked_for():
    part = asked(torch.arange(2 * LONG).view(2, LONG))
    assert (part.y[:, : PROMPT - 1] == -1).all() and (part.y[:, PROMPT - 1 :] == part.x[:, PROMPT - 1 :] + 1).all()


@pytest.mark.parametrize("signal", ["offline", "online", "on-policy"])
def test_whose_answers_are_learned_from(signal):
    """Kept ones come back, new ones are new, the student's are another's than the teacher's; prompts are the same."""
    world = whispers(0, small=True, signal=signal)
    run = start(get("kd")(a=1.0, t=1.0), world, 1, device="cpu")

    def heard(key):
        with stream(key):
            return run.method.source(run)

    one, again = heard("one"), heard("other")
    assert torch.equal(one.x[:, :PROMPT], run.rows().x[:, :PROMPT])
    assert torch.equal(one.x, again.x) == (signal == "offline") == torch.equal(one.x, run.rows().x)
    with torch.no_grad():
        run["student"].head.bias[3] += 50
    assert (heard("one").x[:, PROMPT:] == 3).all() == (signal == "on-policy")


def test_distances_are_0_to_oneself(double):
    world = whispers(0, small=True)
    assert world.apart(world.given_teacher, world.data.valid)["proxy"] == pytest.approx(0, abs=1e-12)
    assert world.apart(world.oracle.logits, world.data.valid)["golden"] == pytest.approx(0, abs=1e-12)
    assert world.validate(world.given_teacher) < 0


def test_more_answers_to_as_many_prompts():
    few, many = whispers(0, small=True, prompts=8), whispers(0, small=True, prompts=8, answers=3)
    prompts = lambda w: {tuple(r) for r in w.data.train.x[:, :PROMPT].tolist()}
    assert (few.size, many.size) == (8, 24) and prompts(few) == prompts(many)


def test_a_signal_of_another_name_is_refused():
    with pytest.raises(Refused, match="online"):
        whispers(0, small=True, signal="offpolicy")
