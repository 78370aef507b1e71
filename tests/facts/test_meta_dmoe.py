"""Meta-DMoE."""

import torch
import torch.nn.functional as F

from understudy.core.run import artefact, start
from understudy.core.seeds import stream
from understudy.methods.adapt.meta_dmoe import MetaDMoE
from understudy.worlds.turned import turned_digits


def begun(**how):
    return start(MetaDMoE(warm=0.0, **how), turned_digits(0, small=True, batch=8), 1, device="cpu")


def test_the_step_by_hand(double):
    """Weights moved by plain descent on the mean square, the domain's own expert left out, then asked about the labelled rows."""
    run = begun(inner=0.5)
    batch = run.method.source(run)
    with stream("fact"):
        loss = run.method.loss(run, batch)["hard"]
    student, e, x = run["student"], int(batch.support.domain[0]), batch.support.x
    says = run["teacher"](x)
    target = run["aggregator"](torch.cat([says[:, :e], says[:, e + 1 :]], 1)).detach()
    f = student.embed(student.pool(student.stage2(student.stage1(x))))
    ways = torch.autograd.grad((f - target).square().mean(), list(student.parameters()), allow_unused=True)
    with torch.no_grad():
        for p, g in zip(student.parameters(), ways, strict=True):
            p -= 0 if g is None else 0.5 * g
    assert torch.allclose(loss, F.cross_entropy(student(batch.x), batch.y), rtol=1e-12)


def test_its_own_expert_is_not_heard(double):
    """In an episode; a domain that is no source hears all."""
    run = begun()
    batch = run.method.source(run)
    own, other = int(batch.domain[0]), (int(batch.domain[0]) + 1) % 6
    loss, said = run.method.loss(run, batch)["hard"], artefact(run)(batch.x)
    for k, heard in ((own, False), (other, True)):
        for p in run["teacher"].nets[k].parameters():
            p.mul_(2)
        assert bool((run.method.loss(run, batch)["hard"] - loss).abs() > 1e-9) == heard
        assert not torch.equal(artefact(run)(batch.x), said)


def test_the_gradient_goes_through_the_step(double):
    """Into the aggregator, against a difference quotient."""
    run = begun(inner=0.5)
    batch, p = run.method.source(run), run["aggregator"].blocks.layers[0].linear2.bias
    value = lambda: run.method.loss(run, batch)["hard"]
    (g,) = torch.autograd.grad(value(), p)
    p.data += 1e-5
    up = value().item()
    p.data -= 2e-5
    assert abs((up - value().item()) / 2e-5 - g.sum().item()) < 1e-5 * g.abs().sum().item() and g.any()


def test_asking_changes_nothing(double):
    """It forgets the step that it took; the order of the rows doesn't matter, who else is asked about does."""
    made, x = artefact(begun(inner=0.5)), turned_digits(0, small=True, batch=8).rows(0).x
    said = made(x)
    assert torch.equal(made(x), said) and torch.allclose(made(x.flip(0)).flip(0), said)
    assert not torch.allclose(made(x[:4]), said[:4])
