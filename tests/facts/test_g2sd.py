"""G2SD: what is foretold, of all patches and under one mask; then labels and answers, by the encoder that is left."""

import pytest
import torch

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.worlds.patchwork import patchwork

METHOD = get("g2sd")


def run(**settings):
    return start(METHOD(**settings), patchwork(0, small=True), 1, device="cpu")


def test_generic_by_hand(double):
    """Huber's loss, patch by patch, of states that have mean 0 and deviation 1."""
    r = run(beta=0.5)
    batch = r.method.source(r)
    assert (batch.hidden.sum(1) == 12).all()
    teacher = r["teacher"].pretrained
    h = teacher.decoder.states(teacher.encoder(batch.x, batch.hidden), batch.hidden, 1)
    said = r["foretell"](r["decoder"](r["student"].encoder(batch.x, batch.hidden), batch.hidden))
    lost = []
    for target, own in zip(h.flatten(0, 1), said.flatten(0, 1), strict=True):
        d = (own - (target - target.mean()) / (target.var(correction=0) + 1e-5).sqrt()).abs()
        lost.append(torch.where(d < 0.5, d**2, d - 0.25).mean())
    assert r.method.loss(r, batch)["foretell"].item() == pytest.approx(torch.stack(lost).mean().item())
    assert len(lost) == 8 * 16


def test_teacher_and_student_see_the_same_patches(double):
    """What is hidden changes neither side."""
    r = run()
    batch = r.method.source(r)
    ink = batch.x.unfold(2, 2, 2).unfold(3, 2, 2).reshape(8, 16, 4)
    other = torch.where(batch.hidden[..., None], torch.randn_like(ink), ink)
    other = other.view(8, 4, 4, 2, 2).permute(0, 1, 3, 2, 4).reshape(8, 1, 8, 8)
    for name in ("student", "teacher"):
        torch.testing.assert_close(r[name](batch.x, batch.hidden), r[name](other, batch.hidden))


def test_specific_by_hand(double):
    r = run(generic=0.0, weight=0.5, t=2.0)
    batch = r.method.source(r)
    s, u = r["student"](batch.x), r["teacher"](batch.x)
    known = batch.y >= 0
    terms = r.method.loss(r, batch)
    p, q = (u / 2).softmax(-1), (s / 2).softmax(-1)
    assert terms["soft"].item() == pytest.approx(0.5 * 4 * (p * (p / q).log()).sum(-1).mean().item())
    assert terms["hard"].item() == pytest.approx(-s[known].log_softmax(-1)[range(sum(known)), batch.y[known]].mean().item())


def test_each_stage_moves_what_is_its_own(double):
    """The head rests first and the decoder afterwards; the optimiser forgets between them."""
    r = run(generic=0.5)
    kept = lambda net: [p.clone() for p in net.parameters()]
    still = lambda a, b: all(map(torch.equal, a, b))
    head, decoder, encoder = kept(r["student"].head), kept(r["decoder"]), kept(r["student"].encoder)
    fit(r, 12)
    assert (
        still(head, kept(r["student"].head))
        and not still(decoder, kept(r["decoder"]))
        and not still(encoder, kept(r["student"].encoder))
    )
    assert not any(p in r.opts["student"].state for p in r["student"].parameters())
    decoder, encoder = kept(r["decoder"]), kept(r["student"].encoder)
    fit(r, 14)
    assert (
        not still(head, kept(r["student"].head))
        and still(decoder, kept(r["decoder"]))
        and not still(encoder, kept(r["student"].encoder))
    )
