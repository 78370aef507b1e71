"""CMD: every term by a loop; attention pools; the average is what it says it is."""

import copy

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.worlds.gallery import gallery


def run(**settings):
    return start(get("cmd-fgvc")(**settings), gallery(0, small=True), 1, device="cpu")


def test_by_a_loop(double):
    r = run(small=1, t=0.2, sharp=0.1, inter=2.0, dim=5)
    batch, n = r.method.source(r), 8
    student = []  # of each view: features, weights, logits of the bag and of its places
    for views in (batch.large, batch.small):
        made = r["bag"](r.tap("student", "body.2", views)[1])
        student += zip(*(part.split(n) for part in made), strict=True)
    z = r["target"](r.tap("teacher", "body.2", batch.large)[1])
    teacher = list(zip(*(part.split(n) for part in z), strict=True))
    image, region, inter = [], [], []
    for v, (h, a, b, places) in enumerate(student):
        log_b, log_r = (b / 0.2).log_softmax(-1), (places / 0.2).log_softmax(-1)
        bags = torch.stack([sum(a[i, m] * log_r[i, m].exp() for m in range(h.shape[1])) for i in range(n)])
        inter.append((bags * (bags.log() - log_b)).sum(1).mean().item())
        for g, (h_g, _, b_g, r_g) in enumerate(teacher):
            if g == v:
                continue
            image.append(-((b_g / 0.1).softmax(1) * log_b).sum(1).mean().item())
            for i in range(n):
                for m in range(h.shape[1]):
                    j = torch.cosine_similarity(h[i, m][None], h_g[i], dim=1).argmax()
                    region.append(-((r_g[i, j] / 0.1).softmax(0) * log_r[i, m]).sum().item())
    got = r.method.loss(r, batch)
    sizes = [h.shape[1] for h, *_ in student]
    assert got["image"].item() == pytest.approx(sum(image) / 4 / 2)
    assert got["inter"].item() == pytest.approx(2 * sum(inter) / 3)
    ends, means = 0, []  # a pair of views counts as one, however many places the student's has
    for m in (sizes[0], sizes[1], sizes[2], sizes[2]):
        means.append(sum(region[ends : ends + n * m]) / (n * m))
        ends += n * m
    assert ends == len(region) and got["region"].item() == pytest.approx(sum(means) / 4 / 2)


def test_the_result_is_the_bag_that_was_learned(double):
    r = fit(run(), 2)
    x = r.rows().x
    h, a, _, _ = r["bag"](r.tap("student", "body.2", x)[1])
    torch.testing.assert_close(artefact(r)(x), torch.einsum("nmc,nm->nc", h, a))
    torch.testing.assert_close(a.sum(1), torch.ones(len(x)))


def test_the_average(double):
    r = run(decay=0.8)
    kept = {k: copy.deepcopy(r[k].state_dict()) for k in ("teacher", "target")}
    fit(r, 1)
    for mine, its_own in (("teacher", "student"), ("target", "bag")):
        for k, v in r[its_own].state_dict().items():
            torch.testing.assert_close(r[mine].state_dict()[k], kept[mine][k].lerp(v, 0.2), rtol=1e-12, atol=1e-12)
        assert not any(p.requires_grad for p in r[mine].parameters())
