"""U-VPA: who is sent, how far the average goes, and that of the device nothing changes but what is added to its inputs."""

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.core.seeds import stream
from understudy.parts.restore import flat
from understudy.worlds import WORLDS


def begun(**how):
    return start(get("u-vpa")(**how), WORLDS["cloud"](0, small=True), 1, device="cpu")


def test_the_most_uncertain_are_sent(double):
    """By hand: the device's last layer under dropout of what enters it, ten times, and the spread of the answers."""
    run = begun(send=0.5, masks=10, drop=0.3)
    x, device = run.rows().x, run["device"]
    with stream(1, 0), torch.no_grad():
        sent = run.method.source(run)
    with stream(1, 0), torch.no_grad():
        f = device.embed(device.pool(device.stage2(device.stage1(x))))
        p = torch.stack([device.head(torch.nn.functional.dropout(f, 0.3)).softmax(-1) for _ in range(10)])
    spread = [sum(((p[t, i] - p[:, i].mean(0)) ** 2).sum().item() for t in range(10)) / 10 for i in range(len(x))]
    order = sorted(range(len(x)), key=lambda i: -spread[i])[: len(x) // 2]
    assert torch.equal(sent.x, x[order]) and sent.spread.tolist() == pytest.approx([spread[i] for i in order])


def test_the_average_goes_further_where_a_batch_is_unusual(double):
    run, told = begun(decay=0.9), []
    fit(run, 2, watch=lambda run, batch, _terms: told.append((batch.spread.mean().item(), run["usual"].spread.item())))
    assert run["usual"].spread.item() == pytest.approx(0.9 * told[0][0] + 0.1 * told[1][0])
    for unusual, want in ((1.0, 0.1), (3.0, 0.25), (100.0, 1.0)):
        batch = type("Sent", (), {"spread": unusual * run["usual"].spread.expand(4)})
        now = run["usual"].spread.clone()
        before, s = flat(run["teacher"]).clone(), flat(run["student"]).detach()
        with torch.no_grad():
            run.method.after_step(run, batch)
        share = min(0.1 * unusual / (1 + 0.1 * (unusual - 1)), 1.0)
        torch.testing.assert_close(flat(run["teacher"]), before.lerp(s, share))
        assert want == pytest.approx(share, rel=0.1)
        run["usual"].spread.copy_(now)


def test_the_device_stays_and_sees_the_average_s_prompt():
    run = begun()
    before = {k: v.clone() for k, v in run["device"].state_dict().items()}
    fit(run, 4)
    assert all(torch.equal(v, before[k]) for k, v in run["device"].state_dict().items())
    x, prompt = run.rows().x, run["teacher"].prompt
    assert prompt.any() and prompt.shape == x.shape[1:]
    assert torch.equal(artefact(run)(x), run["device"](x + 10 * prompt))
