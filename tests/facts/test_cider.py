"""CIDer: what passes between the two views, and what doesn't; its terms by hand."""

import pytest
import torch

from understudy.core.run import start
from understudy.methods import cider
from understudy.worlds.senses import senses


def begun(**how):
    run = start(cider(**how), senses(0, small=True), 0, device="cpu")
    return run, run.method.source(run)


def test_nothing_missing_nothing_to_teach():
    run, batch = begun(missing=0.0)
    terms = run.method.loss(run, batch)
    assert [terms[k].item() for k in ("joint", "attention", "rebuild")] == pytest.approx([0, 0, 0], abs=1e-6)
    assert terms["hard"].item() == pytest.approx(2 * run.world.hard(run["student"](batch.x), batch).item(), rel=1e-5)


def test_terms_by_hand_and_no_gradient_through_the_whole_row():
    run, batch = begun(joint=1.0, attention=1.0, rebuild=1.0)
    at = run.method.student_at
    terms = run.method.loss(run, batch)
    _, (q_u, k_u, _, z_u, words) = run.tap("student", at, batch.x)
    _, (q, k, h, z, _) = run.tap("student", at, batch.part)
    cos = (z * z_u).sum(1) / z.norm(dim=1) / z_u.norm(dim=1)
    assert terms["joint"].item() == pytest.approx(1 - cos.mean().item(), abs=1e-5)
    width, off = q.shape[-1] // 4, []
    for n in range(len(q)):
        for a in range(4):
            part = slice(a * width, (a + 1) * width)
            look = lambda q, k, n=n, part=part: (q[n, :, part] @ k[n, :, part].T / width**0.5).softmax(-1)
            p, s = look(q_u, k_u), look(q, k)
            off.append((p * (p / s).log()).sum(1).mean())
    assert terms["attention"].item() == pytest.approx(sum(off).item() / len(off), rel=1e-3)
    lost, first = 0.0, 0
    for name, x in batch.x.items():
        mine, first = h[:, first : first + x.shape[1]], first + x.shape[1]
        said, gone = run["rebuild"][name](mine), batch.gone[name]
        true = words if name == "text" else x
        lost += torch.nn.functional.smooth_l1_loss(said[gone], true[gone]).item()
    assert terms["rebuild"].item() == pytest.approx(lost, rel=1e-4)
    run, batch = begun(missing=1.0)  # the whole row is then the only one that holds pixels
    terms = run.method.loss(run, batch)
    (terms["joint"] + terms["attention"]).backward()
    assert not run["student"].inner.embed["vision"].weight.grad.any()


def test_usual_words_are_cues_and_fillers_and_the_answer_takes_them_off():
    run, batch = begun(tau=0.5)
    student, world = run["student"].eval(), run.world
    ids = torch.cat([b.x["text"] for b in world.sweep()])
    share = torch.stack([(ids == w).any(1).float().mean() for w in range(world.words)])
    assert torch.equal(student.usual, share >= 0.12) and student.usual[40:51].sum() > 8
    text = batch.x["text"].clone()
    text[~student.usual[text]] = world.blank
    made = run.method.result(run).eval()
    want = student(batch.x, True) - 0.5 * student({**batch.x, "text": text}, True)
    torch.testing.assert_close(made(batch.x), want)
