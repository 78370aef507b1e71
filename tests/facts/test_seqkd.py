"""Sequence-level knowledge distillation."""

import pytest
import torch

from understudy.core.fit import turns
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.worlds import WORLDS

pytestmark = pytest.mark.usefixtures("double")


def made(how):
    run = start(get("seqkd")(how=how), WORLDS["writing"](0, small=True), 0, device="cpu")
    with stream("here"):
        return run, *turns(run)


def test_the_loss_is_minus_the_log_likelihood_of_what_the_teacher_wrote():
    run, batch, out = made("greedy")
    whole = torch.cat([batch.x["input_ids"], batch.y[:, -1:]], 1)
    s = run["student"](batch.x).dense().log_softmax(-1)
    start_, total, n = batch.prompt["input_ids"].shape[1], 0.0, 0
    for i, row in enumerate(whole.tolist()):
        for at in range(start_, len(row)):
            if batch.y[i, at - 1] >= 0:
                total, n = total - s[i, at - 1, row[at]].item(), n + 1
    assert out["student"]["sequence"].item() == pytest.approx(total / n) and torch.equal(
        whole[:, :start_], batch.prompt["input_ids"]
    )


def test_a_greedy_teacher_writes_its_likeliest_words_and_a_sampling_one_others():
    run, batch, _ = made("greedy")
    likeliest, wrote = run["teacher"](batch.x).argmax(), batch.y >= 0
    assert torch.equal(likeliest[wrote], batch.y[wrote])
    _, drawn, _ = made("sampled")
    assert not torch.equal(drawn.x["input_ids"], batch.x["input_ids"])
