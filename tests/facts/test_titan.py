"""TITAN: which pictures are easy, and a gradient that is reversed."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.methods import titan
from understudy.parts.augment import noisy
from understudy.parts.boxes import decode
from understudy.parts.relation import tokens
from understudy.worlds.foggy import foggy


def begun(**how):
    run = start(titan(**how), foggy(0, small=True), 0, device="cpu")
    with stream(0), torch.no_grad():
        return run, run.method.source(run)


def test_variance_of_boxes_times_that_of_classes_by_a_loop(double):
    run, batch = begun(passes=3)
    net, x = run["student"], batch.x[:2]
    with stream(7), torch.no_grad():
        got = run.method.variance(net, x, n=2)
    with stream(7), torch.no_grad():
        passes = [net(noisy(x, 0.1)) for _ in range(3)]
    for i in range(2):
        c = [out["logits"][i].softmax(-1)[:, :5] for out in passes]
        b = [decode(out["offsets"][i], out["rois"][i]) for out in passes]
        two = sum(c).sum(1).topk(2).indices.tolist()
        v_b, v_c = (
            sum(float((v[a] - sum(w[a] for w in said) / 3).square().sum()) for v in said for a in two) / 6 for said in (b, c)
        )
        assert got[i].item() == pytest.approx(v_b * v_c)


def test_the_highest_share_is_easy():
    with stream(3):
        run = start(titan(easy=0.25), foggy(0, small=True), 0, device="cpu")
    assert run["judges"].easy.sum() == 4 and len(run["judges"].easy) == 16


def test_the_student_climbs_what_the_judges_descend(double):
    run, batch = begun(align=0.5)
    terms = run.method.loss(run, batch)
    _, inside = run.tap("student", run.method.at, batch.strong, batch.rois)
    easy, want = run["judges"].easy[batch.row].double(), 0.0
    for judge, f in zip(run["judges"], inside, strict=True):
        one, all_ = judge(tokens(f))
        want += (bce(all_[:, 0], easy) + torch.stack([bce(one[:, i], easy) for i in range(one.shape[1])]).mean()).item() / 2
    assert terms["judges"]["wrong"].item() == pytest.approx(want)
    assert terms["student"]["alike"].item() == pytest.approx(-0.5 * want)
    f = next(run["student"].parameters())
    up = torch.autograd.grad(terms["student"]["alike"], f, retain_graph=True)[0]
    down = torch.autograd.grad(terms["judges"]["wrong"], f)[0]
    torch.testing.assert_close(up, -0.5 * down)
    assert up.any()
