"""Simulated learners, and real ones from a file."""

import pytest
import torch

from understudy.core.errors import Refused, Sealed
from understudy.core.seal import learning
from understudy.worlds.learners import DKT, learners, simulated


def test_a_seed_is_a_class_of_learners_and_splits_hide_what_is_to_be_foretold():
    world, again, other = learners(3), learners(3), learners(4)
    assert torch.equal(world.data.valid.x["answer"], again.data.valid.x["answer"])
    assert not torch.equal(world.data.valid.x["answer"], other.data.valid.x["answer"])
    for part in (world.data.valid, world.data.test):
        assert (part.x["answer"][:, 40:] == -1).all() and part.y[:, 40:].isfinite().all() and part.y[:, :40].isnan().all()
    with learning(), pytest.raises(Sealed):
        _ = world.data.test
    with pytest.raises(Sealed):
        _ = learners(3, small=True).data.test
    truth = simulated(5, 6, 7, key=1)[3]
    assert (
        truth.knowledge.shape == (5, 7, 6) and not (truth.graph * truth.graph.T).any() and not truth.graph.matrix_power(6).any()
    )


def test_the_student_sees_the_past_only_and_goes_on_from_what_it_foretells():
    net, n = DKT(3, 5).double(), torch.arange(7)
    x = {"skill": (n % 3)[None], "answer": (n % 2)[None], "time": n[None].double()}
    hidden = {**x, "answer": torch.where(n < 4, n % 2, -1)[None]}
    assert torch.allclose(net(x)[:, :5], net(hidden)[:, :5])
    assert not torch.allclose(net(x)[:, 5:], net(hidden)[:, 5:])
    assert net({k: v[:, :1] for k, v in hidden.items()}).shape == (1, 1)


def lines(i, length=60):
    skills, answers = ([str(v) for v in row] for row in zip(*((3 + (i + n) % 5, n * i % 2) for n in range(length)), strict=True))
    return f"{length}\n{','.join(skills)},\n{','.join(answers)},\n"


def test_real_answers(tmp_path):
    (tmp_path / "set").mkdir()
    file = tmp_path / "set" / "some_train.csv"
    file.write_text(lines(0, 3) + "".join(lines(i) for i in range(6)))
    world = learners(0, path=tmp_path, size=4)
    assert len(world.data.train.y) == 4 and set(world.data.train.x["skill"].unique().tolist()) == set(range(5))
    assert world.data.valid.x["time"][0, -1] == pytest.approx(5.9)
    with pytest.raises(Refused, match="at most 6"):
        learners(0, path=file, size=7)
    with pytest.raises(Refused, match="path"):
        learners(0, path=tmp_path / "nothing")
    bad = tmp_path / "bad.csv"
    for text in ("2\n1,2\n0\n", "1\n1\n2\n", "a\n1\n1\n"):
        bad.write_text(text)
        with pytest.raises(Refused, match="three lines a learner"):
            learners(0, path=bad)
