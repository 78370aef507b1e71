"""RAIL: every term of a student against a loop over pixels; whose turn it is; its averages."""

import pytest
import torch

from facts.given import terms
from understudy.core.batch import Batch
from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import artefact, start
from understudy.methods.segmentation.rail import STUDENTS
from understudy.parts.dice import dice
from understudy.worlds.touching import touching


class Rowwise(torch.nn.Module):
    """Answers of given pictures, told by their first pixel."""

    def __init__(self, out):
        super().__init__()
        self.out = out

    def forward(self, x):
        return self.out[x[:, 0, 0, 0].long()]


def test_by_hand(double, monkeypatch):
    monkeypatch.setattr("facts.given.Given", Rowwise)
    out = {name: 2 * torch.randn(4, 3, 3, 3) for name in (*STUDENTS, "teacher", "teacher2")}
    y = torch.cat([torch.randint(0, 3, (2, 3, 3)), torch.full((2, 3, 3), -1)])
    x = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 3, 3)
    got = terms(get("rail")(focus=2.0, guide=3.0, agree=5.0, modest=0.5), touching(0, small=True), Batch(x=x, y=y), 24, **out)
    best = min(STUDENTS, key=lambda name: dice(out[name], y, y >= 0).item())
    sharp = lambda p: p**10 / (p**10).sum()
    assert set(got) == {"student", "partner"}
    for name, own in got.items():
        focus, guide, agree, modest = [], [], [], []
        for i, r, c in ((i, r, c) for i in range(4) for r in range(3) for c in range(3)):
            p, b, u = (out[k][i, :, r, c].softmax(0) for k in (name, best, "teacher"))
            disputed = name == best or p.argmax() != b.argmax()
            if i < 2 and disputed and p.argmax() != y[i, r, c]:
                focus.append((p - torch.eye(3)[y[i, r, c]]).square().mean())
            if i >= 2:
                guide.append((p - sharp(u)).square().mean())
                agree.append((p - sharp(b)).square().mean())
                if disputed:
                    modest.append((torch.log(1 / 3 / p) / 3).sum())
        mean = lambda found: sum(found).item() / len(found) if found else 0.0
        assert own["focus"].item() == pytest.approx(2 * mean(focus)) and own["guide"].item() == pytest.approx(5 * 3 * mean(guide))
        assert ("agree" in own) == (name != best)
        if name != best:
            assert own["agree"].item() == pytest.approx(5 * mean(agree))
            assert own["modest"].item() == pytest.approx(5 * 0.5 * mean(modest))


def test_groups_take_turns_and_each_average_follows_its_first_student(double):
    run = start(get("rail")(decay=0.5, turn=2), touching(0, small=True), 1, device="cpu")
    for step in range(6):
        before = {k: v.clone() for k, v in run.nets.state_dict().items()}
        fit(run, step + 1)
        moved = {k.split(".")[0] for k, v in run.nets.state_dict().items() if not torch.equal(v, before[k])}
        number = "" if step // 2 % 2 == 0 else "2"
        assert moved == {"student" + number, "partner" + number, "teacher" + number}
        after = run.nets.state_dict()
        for k in run["student"].state_dict():
            want = (before[f"teacher{number}.{k}"] + after[f"student{number}.{k}"]) / 2
            torch.testing.assert_close(after[f"teacher{number}.{k}"], want)


def test_the_result_is_the_mean_of_what_four_believe(double):
    run = start(get("rail")(), touching(0, small=True), 1, device="cpu")
    x = run.rows().x
    want = sum(run[name](x).softmax(1) for name in STUDENTS) / 4
    torch.testing.assert_close(artefact(run)(x).softmax(1), want)
