"""Detection and segmentation, by hand and by brute force."""

import pytest
import torch

from understudy.parts.boxes import iou
from understudy.tasks import task

NAN = float("nan")


def test_segment():
    """Said 0 1 1 0, true 0 1 0 hidden: Dice of class 1 is 2/3."""
    out = torch.tensor([[[[9.0, 0], [0, 9]], [[0.0, 9], [9, 0]]]])
    m = task("segment").metrics(out, torch.tensor([[[0, 1], [0, -1]]]))
    assert m["dice"] == pytest.approx(2 / 3) and m["accuracy"] == pytest.approx(2 / 3)
    hidden, out = torch.full((1, 2, 2), -1), out.requires_grad_()
    loss = task("segment").hard(out, hidden)
    loss.backward()
    assert loss == 0 and not out.grad.any()


def scene(n=6, seed=0):
    g = torch.Generator().manual_seed(seed)
    low = torch.rand(n, 8, 2, generator=g) * 30
    boxes = torch.cat([low, low + 6 + 8 * torch.rand(n, 8, 2, generator=g)], -1)
    labels = torch.randint(0, 3, (n, 8), generator=g).where(torch.rand(n, 8, generator=g) < 0.6, 2)
    truth = {"boxes": boxes[:, :4], "labels": torch.cat([labels[:, :3], labels[:, 3:4] * 0 + 2], 1)}
    rois = boxes + 2 * torch.randn(n, 8, 4, generator=g)
    logits = 2 * torch.randn(n, 8, 3, generator=g)
    logits.scatter_add_(2, labels[..., None], torch.full((n, 8, 1), 3.0))
    return {"logits": logits, "offsets": torch.zeros(n, 8, 4), "rois": rois}, truth


def brute(out, y, c):
    """Average precision of class c: every detection of it in turn, every object looked at."""
    said = task("detect").predict(out)
    dets = sorted(((said["scores"][i, k].item(), i, k) for i, k in (said["labels"] == c).nonzero().tolist()), reverse=True)
    objects = [(i, j) for i, j in (y["labels"] == c).nonzero().tolist()]
    taken, hits = set(), []
    for _, i, k in dets:
        near = {
            (i, j): iou(said["boxes"][i, k][None], y["boxes"][i, j][None]).item()
            for a, j in objects
            if a == i and (a, j) not in taken
        }
        best = max(near, key=near.get, default=None)
        hits.append(best is not None and near[best] >= 0.5)
        taken |= {best} if hits[-1] else set()
    points = [(sum(hits[: n + 1]) / len(objects), sum(hits[: n + 1]) / (n + 1)) for n in range(len(hits))]
    area, before = 0.0, 0.0
    for recall in sorted({r for r, _ in points}):
        area += (recall - before) * max(p for r, p in points if r >= recall)
        before = recall
    return area


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_is_that_of_brute_force(seed):
    out, y = scene(seed=seed)
    want = [brute(out, y, c) for c in (0, 1)]
    assert task("detect").metrics(out, y)["ap50"] == pytest.approx(sum(want) / 2)
    assert 0 < sum(want) < 2


def test_all_found_is_one_and_hidden_pictures_stay_out():
    out, y = scene()
    y["boxes"] = y["boxes"] + torch.tensor([0.0, 100, 200, 300])[:, None]  # apart from one another
    perfect = {**out, "rois": torch.cat([y["boxes"], y["boxes"] * 0], 1), "logits": torch.full((6, 8, 3), -20.0)}
    perfect["logits"][:, :4].scatter_(2, y["labels"][..., None], 20.0)
    assert task("detect").metrics(perfect, y)["ap50"] == 1
    half = task("detect").hide(y, slice(3, None))
    assert half["labels"][3:].eq(-1).all() and half["boxes"][3:].isnan().all()
    three = {k: v[:3] for k, v in out.items()}, {k: v[:3] for k, v in y.items()}
    assert task("detect").metrics(out, half) == task("detect").metrics(*three)
    torch.testing.assert_close(task("detect").hard(out, half), task("detect").hard(*three))
    logits = out["logits"].requires_grad_()
    none = task("detect").hard({**out, "logits": logits}, task("detect").hide(y, slice(None)))
    none.backward()
    assert none == 0 and not logits.grad.any()
    assert task("detect").soft(out, out, 2.0).item() == pytest.approx(0, abs=1e-6)
