"""HSSDA: thresholds, what is learned, weighted or removed, and whose quarters are shuffled."""

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.methods import hssda
from understudy.parts.boxes import iou
from understudy.parts.clusters import two_means
from understudy.worlds.yards import yards


def begun(**how):
    run = start(hssda(**how), yards(0, small=True), 0, device="cpu")
    with stream(0), torch.no_grad():
        return run, run.method.source(run)


def test_weights_by_a_loop(double):
    run, _ = begun()
    torch.manual_seed(0)
    m, labels = torch.rand(4, 8, 3), torch.randint(3, (4, 8))
    at = torch.rand(3, 3, 2).sort(-1, descending=True).values * 0.6
    run["thresholds"].at.copy_(at)
    got = run.method.weights({"m": m, "labels": labels}, run["thresholds"])
    at, seen = run["thresholds"].at, set()
    for i in range(4):
        for j in range(8):
            high, low = at[labels[i, j], :, 0], at[labels[i, j], :, 1]
            want = 1.0 if (m[i, j] > high).all() else (m[i, j, 0] * m[i, j, 1]).item() if (m[i, j] > low).all() else 0.0
            seen.add(want if want in (0.0, 1.0) else 0.5)
            assert got[i, j].item() == pytest.approx(want)
    assert seen == {0.0, 0.5, 1.0}
    assert torch.equal(hssda(threshold="fixed").weights({"m": m, "labels": labels}, None) > 0, m[..., 0] > 0.7)


def test_thresholds_are_the_two_means_of_right_answers_of_a_class(monkeypatch):
    """The teacher answers as is given here: measures anywhere, boxes right and wrong."""
    run, _ = begun()
    rows = next(run.world.sweep())
    known = (rows.y["labels"] >= 0).all(1)
    torch.manual_seed(0)
    true = rows.y["boxes"][known]
    boxes = torch.cat([true, true + 0.5], 1)
    m, labels = 0.1 + 0.9 * torch.rand(*boxes.shape[:2], 3), torch.zeros(boxes.shape[:2], dtype=torch.long)
    monkeypatch.setattr(hssda, "objects", lambda self, net, x: ({"boxes": boxes, "labels": labels, "m": m}, None))
    before = run["thresholds"].at.clone()
    run.method.renew(run["thresholds"], run["teacher"], run.world.sweep())
    right = torch.stack([iou(boxes[i], true[i]).amax(1) >= 0.5 for i in range(len(true))])
    assert 2 < right.sum() < right.numel()
    want = torch.stack([torch.stack(two_means(m[right][:, i])).flip(0) for i in range(3)])
    torch.testing.assert_close(run["thresholds"].at[0], want)
    assert torch.equal(run["thresholds"].at[1:], before[1:]), "no answers, no new thresholds"


def test_only_unlabelled_scenes_are_shuffled_and_lose_points_of_doubtful_objects():
    _, batch = begun(thin=0.0)
    assert torch.equal(batch.hidden, (batch.y["labels"] < 0).any(1)) and batch.hidden.any() and not batch.hidden.all()
    plain = torch.arange(4)
    assert (batch.order[~batch.hidden] == plain).all() and (batch.order[batch.hidden] != plain).any()
    lost = batch.x[..., 2] > batch.strong[..., 2]
    assert not lost[~batch.hidden].any() and lost[batch.hidden].any()
    _, still = begun(threshold="fixed", shuffle="none", thin=0.0)
    assert (still.order == plain).all() and torch.equal(still.strong[..., 2], still.x[..., 2])


def test_the_teacher_is_the_average_with_a_rising_decay():
    run, _ = begun(rise=4, decay=0.9)
    for step in range(6):
        before = {k: v.clone() for k, v in run["teacher"].state_dict().items()}
        fit(run, step + 1)
        keep = 0.5 + 0.4 * min((step + 1) / 4, 1.0)
        student = run["student"].state_dict()
        assert all(torch.equal(v, before[k].lerp(student[k], 1 - keep)) for k, v in run["teacher"].state_dict().items())
