"""EventDance."""

import torch
import torch.nn.functional as F

from understudy.core.run import start
from understudy.methods.adapt.eventdance import EventDance
from understudy.worlds.saccades import saccades


def begun(**how):
    return start(EventDance(**how), saccades(0, small=True, batch=8), 1, device="cpu")


def test_labels_are_the_last_pictures_and_sure_ones_alone(double):
    """Against a loop over rows and representations."""
    run = begun(threshold=0.12)
    x = run.rows().x
    p = run["teacher"](run["bridge"](x)[1][-1]).softmax(-1)
    s, kept = run["student"](x), [i for i in range(8) if p[i].max() >= 0.12]
    terms = [F.cross_entropy(s[v, i : i + 1], p[i].argmax()[None]) for v in range(2) for i in kept]
    found = run.method.loss(run, run.method.source(run))["student"]["pseudo"]
    assert torch.allclose(found, torch.stack(terms).sum() / 16 if terms else torch.zeros(()))


def test_where_all_agree_nothing_is_to_be_made_consistent():
    run = begun()
    same = torch.randn(1, 8, 10)
    student = run.method.taught(same[0], same.repeat(2, 1, 1))
    bridge = run.method.bridged(same.repeat(6, 1, 1), same[0], same.repeat(2, 1, 1))
    assert max(abs(t.item()) for t in (student["mutual"], bridge["steady"], bridge["cross"])) < 1e-6


def test_each_learns_from_what_the_other_says_as_given():
    run = begun()
    terms = run.method.loss(run, run.method.source(run))
    of = lambda name, loss: torch.autograd.grad(loss, list(run[name].parameters()), allow_unused=True, retain_graph=True)
    for name, other in (("student", "bridge"), ("bridge", "student")):
        assert all(g is None for g in of(other, sum(terms[name].values())))
        assert any(g is not None and g.any() for g in of(name, sum(terms[name].values())))
