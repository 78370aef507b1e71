"""LPLD: what is unsure and yet clear, and how far the student is pulled."""

import pytest
import torch
import torch.nn.functional as F

from understudy.core.fit import fit
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.methods import lpld
from understudy.parts.boxes import decode, found, iou
from understudy.worlds.foggy import foggy


def begun(**how):
    """A run, its batch, and what the teacher said of the candidates."""
    run = start(lpld(**how), foggy(0, small=True), 0, device="cpu")
    with stream(0), torch.no_grad():
        batch = run.method.source(run)
        return run, batch, run["teacher"](batch.weak)


def test_what_is_taught_is_what_the_authors_loop_keeps(double):
    _, batch, out = begun(sure=0.5, clear=0.6)
    object, want = found(out, 8), torch.zeros_like(batch.unsure)
    for i in range(len(want)):
        sure = object["boxes"][i][object["scores"][i] > 0.5]
        for a in range(want.shape[1]):
            logits, roi = out["logits"][i, a], out["rois"][i, a]
            place = roi if logits.argmax() == 5 else decode(out["offsets"][i, a], roi)
            far = len(sure) > 0 and iou(place[None], sure).max() <= 0.4
            want[i, a] = far and logits[:5].softmax(0).max() >= 0.6 and logits.softmax(0)[5] <= 0.99
    assert torch.equal(batch.unsure, want) and 0 < want.sum() < want.numel()


def test_pull_by_hand_and_none_where_the_features_agree(double):
    run, batch, _ = begun(alpha=2.0, sure=0.5, clear=0.6)
    terms = run.method.loss(run, batch)
    out, f = run.tap("student", "penultimate", batch.strong, batch.rois)
    total = 0.0
    for i in range(len(f)):
        mine = batch.unsure[i].nonzero()[:, 0].tolist()
        for a in mine:
            q, p = batch.teacher[i, a].softmax(0), out["logits"][i, a].softmax(0)[:5]
            apart = 1 - F.cosine_similarity(f[i, a], batch.features[i, a], dim=0)
            total += (apart * (q * (q / p).log()).sum() / len(mine)).item() / len(f)
    assert terms["unsure"].item() == pytest.approx(2 * total) and total > 0
    batch["features"] = f.detach() * 3
    assert run.method.loss(run, batch)["unsure"].item() == pytest.approx(0, abs=1e-9)


def test_the_teacher_goes_a_quarter_of_the_way_ten_times_a_run(double):
    run = start(lpld(), foggy(0, small=True, steps=40), 0, device="cpu")
    fit(run, 3)
    before = {k: v.clone() for k, v in run["teacher"].state_dict().items()}
    fit(run, 4)
    for k, v in run["teacher"].state_dict().items():
        assert torch.equal(v, before[k].lerp(run["student"].state_dict()[k], 0.25)), k
    moved = {k: v.clone() for k, v in run["teacher"].state_dict().items()}
    fit(run, 7)
    assert all(torch.equal(v, moved[k]) for k, v in run["teacher"].state_dict().items())
