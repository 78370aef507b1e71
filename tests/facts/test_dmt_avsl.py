"""DMT: where two maps agree, every term against a loop, contrast by hand, both averages to the last bit."""

import pytest
import torch
import torch.nn.functional as F

from understudy.core.batch import Batch
from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.methods.semi import dmt_avsl as its
from understudy.worlds.sounding import sounding


@pytest.mark.parametrize("least", [0.0, 0.3, 1.0])
def test_what_is_kept_and_where(least):
    m = torch.rand(2, 40, 4, 4) < torch.rand(40, 1, 1)
    m[:, 0], m[0, 1] = False, False  # nobody finds anything; one finds nothing
    m[:, 2] = True
    both, kept = its.agreed(m, least)
    for i in range(40):
        a, b = ({(y, x) for y in range(4) for x in range(4) if n[i, y, x]} for n in m)
        assert {tuple(p) for p in both[i].nonzero().tolist()} == a & b
        assert kept[i] == (len(a & b) > 0 and len(a & b) / len(a | b) >= least)
    assert not kept[:2].any() and kept[2]
    one, kept = its.agreed(m[:1], 1.0)
    assert torch.equal(one, m[0]) and torch.equal(kept, m[0].flatten(1).any(1)), "one teacher agrees with itself"


def test_contrast_by_hand(double):
    f, a = torch.randn(3, 4, 2, 2), torch.randn(3, 4)
    z = torch.tensor([[max(F.cosine_similarity(f[i, :, y, x], a[j], 0) for y in range(2) for x in range(2)) for j in range(3)]
                      for i in range(3)]) / 0.5  # fmt: skip
    want = sum(2 * z[i, i] - z[i].logsumexp(0) - z[:, i].logsumexp(0) for i in range(3)) / -3
    assert its.paired(f, a, 0.5).item() == pytest.approx(want.item())


def test_terms_by_hand(double, monkeypatch):
    """Two known scenes, four others of which one is kept; views that change nothing."""
    monkeypatch.setattr(its, "strong", lambda x: (x, torch.tensor([[1.0, 1, 0, 0]]).expand(len(x), 4)))
    monkeypatch.setattr(its, "strongly", lambda x: x)
    run = start(get("dmt-avsl")(weight=3.0, contrast=0.0), sounding(0, small=True), 0, device="cpu")
    run.step = run.world.steps
    batch = run.rows()
    x, n = {k: v[:6] for k, v in batch.x.items()}, torch.arange(6)
    label = torch.randint(0, 2, (6, 24, 24))
    got = run.method.loss(run, Batch(x=x, label=label, known=n < 2, kept=n == 4))
    for name in ("student", "peer"):
        each = F.cross_entropy(run[name](x), label, reduction="none").mean((1, 2))
        assert got[name]["hard"].item() == pytest.approx(each[:2].mean().item())
        assert got[name]["pseudo"].item() == pytest.approx(3 * each[4].item() / 4)


def test_the_source_asks_both_teachers_about_hidden_scenes_only(double):
    run = start(get("dmt-avsl")(sure=0.01, consensus=0.0, pretrain=0.5), sounding(0, small=True), 0, device="cpu")
    assert not run.method.source(run)["kept"].any(), "before it is time nobody is asked"
    run.step = run.world.steps // 2
    rows, batch = run.rows(), run.method.source(run)
    known = batch["known"]
    said = [run[name](rows.x).softmax(1)[:, 1] >= 0.01 for name in ("teacher", "peer_teacher")]
    assert torch.equal(batch["label"][known], rows.y[known]) and (rows.y[~known] == -1).all()
    assert torch.equal(batch["label"][~known].bool(), (said[0] & said[1])[~known])
    assert batch["kept"].any() and not batch["kept"][known].any() and not batch["label"].requires_grad


def test_both_averages_are_averages(double):
    run = start(get("dmt-avsl")(decay=0.75, pretrain=0.25), sounding(0, small=True), 0, device="cpu")
    fit(run, 6)  # of 24
    for name, teacher in its.TEACHER.items():
        assert all(map(torch.equal, run[teacher].state_dict().values(), run[name].state_dict().values()))
    before = {t: {k: v.clone() for k, v in run[t].state_dict().items()} for t in its.TEACHER.values()}
    fit(run, 7)
    for name, teacher in its.TEACHER.items():
        for k, v in run[teacher].state_dict().items():
            assert torch.equal(v, before[teacher][k].lerp(run[name].state_dict()[k], 0.25))
        assert not any(p.requires_grad or p.grad is not None for p in run[teacher].parameters())
