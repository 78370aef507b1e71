"""Return of the encoder."""

import pytest
import torch

from understudy.core import registry
from understudy.core.fit import turns
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.worlds import WORLDS

pytestmark = pytest.mark.usefixtures("double")


def test_each_word_of_an_answer_by_hand():
    """The teacher is handed prompt and answer so far, the student's encoder the prompt and its decoder the answer so far."""
    run = start(registry.get("encoder-slm-kd")(a=0.7), WORLDS["readings"](0, small=True), 0, device="cpu")
    with stream("here"):
        batch, terms = turns(run)
    soft, hard = [], []
    for i in range(len(batch.y)):
        prompt, answer = batch.x["prompt"][i], batch.y[i][batch.y[i] >= 0]
        for t, word in enumerate(answer):
            u = run["teacher"].lm(torch.cat([prompt, answer[:t]])[None])[0, -1].log_softmax(-1)
            said = torch.cat([torch.zeros(1, dtype=torch.long), answer[:t]])
            s = run["student"]({"prompt": prompt[None], "said": said[None]})[0, -1].log_softmax(-1)
            soft.append((u.exp() * (u - s)).sum())
            hard.append(-s[word])
    assert terms["student"]["soft"].item() == pytest.approx(0.7 * torch.stack(soft).mean().item())
    assert terms["student"]["hard"].item() == pytest.approx(0.3 * torch.stack(hard).mean().item())
