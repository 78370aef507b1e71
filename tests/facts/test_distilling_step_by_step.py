"""Distilling step-by-step."""

import pytest
import torch

from understudy.core import registry
from understudy.core.fit import turns
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.worlds import WORLDS

pytestmark = pytest.mark.usefixtures("double")


def made(**fields):
    run = start(registry.get("distilling-step-by-step")(**fields), WORLDS["reasons"](0, small=True), 0, device="cpu")
    with stream("here"):
        return run, *turns(run)


def test_both_tasks_by_hand_word_by_word():
    run, batch, terms = made(lam=3.0)
    said, losses = run["teacher"](batch.ask), []
    for i, ask in enumerate(batch.ask):
        heard = ask.tolist()
        for word in said[i].tolist():
            if word >= 0:  # the student reads the prompt and what was said before, and is asked for the next word
                losses.append(-run["student"](torch.tensor([heard]))[0, -1].log_softmax(-1)[word])
                heard.append(word)
    assert terms["student"]["rationale"].item() == pytest.approx(3 * torch.stack(losses).mean().item(), rel=1e-9)
    assert terms["student"]["hard"].item() == pytest.approx(run.world.hard(run["student"](batch.x), batch).item())


def test_the_prefix_alone_tells_the_tasks_apart():
    run, batch, _ = made()
    label, reason = (run.world.data.words.number[p] for p in ("[label]", "[rationale]"))
    assert (batch.x[:, 0] == label).all() and (batch.ask[:, 0] == reason).all()
    assert torch.equal(batch.x[:, 1 : batch.ask.shape[1]], batch.ask[:, 1:])
