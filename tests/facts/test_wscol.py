"""WSCoL: prototypes that move, pseudo-labels of the nearest, and whose turn it is."""

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.methods import wscol
from understudy.parts.contrast import by_label
from understudy.parts.relation import unit
from understudy.worlds.foggy import foggy


def begun(**how):
    run = start(wscol(**how), foggy(0, small=True), 0, device="cpu")
    with stream(0), torch.no_grad():
        return run, run.method.source(run)


def test_prototypes_are_moving_means_by_probability(double):
    run, batch = begun(keep=0.75)
    w, p = run["shared"](batch.g).flatten(0, 1), batch.p.flatten(0, 1)
    means = torch.stack([(p[:, k, None] * w).sum(0) / p[:, k].sum() for k in range(6)])
    run.method.after_step(run, batch)
    torch.testing.assert_close(run["shared"].c, means.detach())
    run.method.after_step(run, type(batch)({**batch, "p": batch.p.flip(-1)}))
    turned = torch.stack([(p[:, 5 - k, None] * w).sum(0) / p[:, 5 - k].sum() for k in range(6)])
    torch.testing.assert_close(run["shared"].c, (0.75 * means + 0.25 * turned).detach())


def test_contrast_of_a_turn_against_a_loop(double):
    run, batch = begun(most=4)
    got = run.method.loss(run, batch)["shared"]["contrast"]
    _, f = run.tap("student", "penultimate", batch.strong, batch.rois)
    shared, total, anchors = run["shared"], 0.0, 0
    z = torch.cat([shared(f[i, batch.pick[i]]) for i in range(len(f))])
    w, p = shared(batch.g).flatten(0, 1), batch.p.flatten(0, 1)
    c = unit(torch.stack([(p[:, k, None] * w).sum(0) / p[:, k].sum() for k in range(6)]))
    near = [int((c @ w_j).argmax()) for w_j in w]
    far = [
        1.0 if k < 5 else 1 + float((q * q.log()).sum()) / torch.log(torch.tensor(6.0)).item()
        for k, q in zip(near, p, strict=True)
    ]
    for i, k in enumerate(near):
        if k < 5:
            below = sum(v * (z[i] @ w_k / 0.1).exp() for v, w_k in zip(far, w, strict=True))
            mates = [j for j in range(len(w)) if near[j] == k]
            total -= sum(((z[i] @ w[j] / 0.1).exp() / below).log().item() for j in mates) / len(mates)
            anchors += 1
    assert got.item() == pytest.approx(total / anchors) and 0 < anchors < len(near)


def test_map_and_student_learn_the_contrast_in_turn(double):
    run, _ = begun()
    for step in range(4):
        before, turn = {k: v.clone() for k, v in run["shared"].named_parameters()}, {}
        fit(run, step + 1, watch=lambda _r, _b, terms, turn=turn: turn.update({k: set(v) for k, v in terms.items()}))
        moved = any(not torch.equal(v, before[k]) for k, v in run["shared"].named_parameters())
        assert moved == (step % 2 == 0) == ("contrast" not in turn["student"])


def test_nobody_is_near_or_far_without_a_mate():
    a = unit(torch.randn(3, 4))
    assert by_label(a, torch.tensor([0, 0, 1]), a, torch.tensor([2, 2, 3]), 0.1) == 0
    alone = by_label(a[:1], torch.tensor([0]), a[:2], torch.tensor([0, 1]), 1.0, torch.tensor([1.0, 0.0]))
    assert alone.item() == pytest.approx(0, abs=1e-5), "who is far from nobody has nothing to learn"
