"""ProKD."""

import torch
import torch.nn.functional as F

from understudy.core.fit import fit
from understudy.core.run import start
from understudy.methods.adapt.prokd import ProKD
from understudy.worlds.abroad import abroad


def begun(**how):
    return start(ProKD(**how), abroad(0, small=True, batch=8), 1, device="cpu")


def test_the_contrast_against_a_loop(double):
    """Means of tags that occur in both, word by word."""
    run = begun(align=1.0, t=0.5)
    batch, net = run.method.source(run), run["teacher"]
    states = lambda x: F.relu(net.second(F.relu(net.first(x.mT)))).mT
    by_tag = {"here": {}, "there": {}}
    home, f, g, v = batch.source, states(batch.source.x), states(batch.x), net(batch.x).argmax(-1)
    for i in range(8):
        for j in range(f.shape[1]):
            if home.y[i, j] >= 0:
                by_tag["here"].setdefault(int(home.y[i, j]), []).append(f[i, j])
            if batch.mask[i, j]:
                by_tag["there"].setdefault(int(v[i, j]), []).append(g[i, j])
    both = sorted(by_tag["here"].keys() & by_tag["there"].keys())
    c, d = (torch.stack([F.normalize(torch.stack(by_tag[k][t]).mean(0), dim=0) for t in both]) for k in ("here", "there"))
    scores, right = c @ d.T / 0.5, torch.arange(len(both))
    wanted = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    assert len(both) > 1 and torch.allclose(run.method.loss(run, batch)["teacher"]["align"], wanted)


def test_what_is_told_by_hand():
    """Where both tags are as near, the teacher decides; a word that lies on one tag's mean is told that one."""
    run = begun(heat=0.1)
    run.nets["means"].c.zero_()
    run["means"].c[0, 0], run["means"].c[1, 0] = 1.0, -1.0
    run["means"].known[:2] = True
    f = torch.zeros(2, run["means"].c.shape[1])
    f[1, 0] = 1.0
    u = torch.full((2, run["means"].c.shape[0]), -5.0)
    u[:, :2] = torch.tensor([0.0, 1.0])
    assert run.method.told(run, f, u).tolist() == [1, 0]


def test_first_the_teacher_moves_then_the_student():
    run, moved = begun(share=0.5), []
    total = lambda name: sum(p.double().sum().item() for p in run[name].parameters())
    while run.step < run.world.steps:
        before = total("teacher"), total("student")
        fit(run, run.step + 1)
        moved.append((total("teacher") != before[0], total("student") != before[1]))
    assert moved == [(True, False)] * 12 + [(False, True)] * 12


def test_padding_is_not_learned_from():
    """A longer row of nothing changes no term."""
    run = begun(share=0.0)
    batch = run.method.source(run)
    terms = run.method.loss(run, batch)["student"]
    longer = type(batch)({**batch, "x": F.pad(batch.x, (0, 0, 0, 3)), "mask": F.pad(batch.mask, (0, 3))})
    for k, v in run.method.loss(run, longer)["student"].items():
        assert torch.allclose(v, terms[k], atol=1e-6)
