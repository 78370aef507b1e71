"""A language model's answers, kept: in memory, and as few bytes on disk."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from understudy.core import registry
from understudy.core.errors import Refused
from understudy.core.fit import fit, turns
from understudy.core.method import freeze
from understudy.core.run import start
from understudy.core.world import World, recast
from understudy.models.lm import LM
from understudy.parts.encode import Words
from understudy.parts.lazy import Lazy, Samples, TopK
from understudy.teachers import Stored
from understudy.teachers.labelling import Writer, label
from understudy.teachers.recorded import Recorded
from understudy.teachers.shards import Encoding, Plan, name
from understudy.teachers.stored import _shape, keys
from understudy.worlds import WORLDS


@pytest.fixture(scope="module")
def world() -> World:
    return WORLDS["texts"](0, small=True)


@pytest.fixture(scope="module")
def teacher(world: World) -> LM:
    return copy.deepcopy(world.teacher()).eval()


def test_hidden_states_in_memory_are_the_same_bits(world: World, tmp_path: Path) -> None:
    """The last states at full precision and the head once: a student can't tell, also where the file comes back from disk."""
    epoch = [world.rows(step) for step in range(4)]
    stored = Stored(copy.deepcopy(world.teacher()).eval(), [b.x for b in epoch])
    again = Stored.load(stored.save(tmp_path / "answers.safetensors"))
    kd = registry.build({"name": "kd", "t": 1.0})
    runs = [fit(start(kd, recast(world, teacher=lambda t=t: t), 1, device="cpu"), 4) for t in (world.teacher(), stored, again)]
    students = [run["student"].state_dict().values() for run in runs]
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(*students, strict=True))
    assert isinstance(stored(epoch[0].x), Lazy)
    assert torch.equal(stored(epoch[0].x).asked, epoch[0].x["asked"])


class TestOnDisk:
    @pytest.fixture
    def x(self, world: World) -> dict[str, Tensor]:
        """Twenty rows, some places of which aren't asked for, one of which asks for nothing."""
        x = {k: v[:20].clone() for k, v in world.data.train.x.items()}
        x["asked"][::3, 4:] = False
        x["asked"][7] = False
        return x

    def label(
        self, teacher: nn.Module, x: dict[str, Tensor], folder: Path, encoding: Encoding, batch: int = 6, **more: Any
    ) -> Recorded:
        parts = [{k: v[i : i + batch] for k, v in x.items()} for i in range(0, 20, batch)]
        label(teacher, parts, folder, encoding, shard=8, **more)
        return Recorded(folder, teacher)

    @pytest.mark.parametrize("kind", ["samples", "hybrid", "top-k", "hidden"])
    def test_what_was_said_in_the_order_it_is_asked_for(
        self, teacher: LM, x: dict[str, Tensor], tmp_path: Path, kind: str
    ) -> None:
        """Any rows, in any order and batch, from a copy, answer as the teacher does: as its own encoding of its own live answer."""
        e = Encoding(kind, 0 if kind == "hidden" else 6)
        stored = freeze(self.label(teacher, x, tmp_path / "store", e))
        pick = torch.tensor([13, 2, 7, 19, 2])
        some = {k: v[pick] for k, v in x.items()}
        said, live = stored(some), teacher(some).detach().rows()
        p = live.dense().softmax(1)
        places = int(some["asked"].sum())
        assert not list(stored.parameters())
        if isinstance(said, Lazy):
            assert torch.allclose(said.dense().softmax(1), p, atol=2e-4)
            return
        order = said.ids.sort(1).indices
        ids = said.ids.gather(1, order)
        if isinstance(said, TopK):
            assert torch.equal(ids, p.topk(6).indices.sort(1).values)
            assert torch.allclose(said.logp.gather(1, order).exp(), p.gather(1, ids), rtol=2e-3)
            return
        assert isinstance(said, Samples)
        assert len(ids) == places
        assert torch.allclose(said.weights.sum(1), torch.ones(places))
        assert torch.allclose(said.entropy, -(p * p.log()).sum(1), atol=2e-4)
        assert torch.equal(said.ids[:8], stored({k: v[:1] for k, v in some.items()}).ids[:8])

    def test_weights_are_right_on_average(self, teacher: LM, x: dict[str, Tensor], tmp_path: Path) -> None:
        """All the way through the files: over many seeds of the draws the mean weight of a word is its probability."""
        one, total = {k: v[1:2] for k, v in x.items()}, 0
        p = teacher(one).detach().rows().dense().softmax(1)
        for seed in range(60):
            label(teacher, [one], tmp_path / str(seed), Encoding("samples", 20, seed=seed))
            said = Recorded(tmp_path / str(seed))(one)
            total = total + torch.zeros_like(p).scatter_add_(1, said.ids.clamp(min=0), said.weights)
        noise = p / 20 / 60  # the variance of a rare word's mean weight
        z = ((total / 60 - p).square() / noise).mean()
        assert z < 1.1, z

    @pytest.mark.parametrize("kind", ["samples", "top-k", "hidden"])
    def test_a_student_learns_from_it(self, world: World, tmp_path: Path, kind: str) -> None:
        """No method can tell: 'kd' with labels in one pass and without, over all that the world asks."""
        e = Encoding(kind, 0 if kind == "hidden" else 20)
        rows = [world.rows(step).x for step in range(4)]
        teacher = copy.deepcopy(world.teacher()).eval()
        label(teacher, rows, tmp_path / "store", e)
        stored = Recorded(tmp_path / "store", teacher)
        kd = registry.build({"name": "kd", "t": 1.0})
        live, memory = (start(kd, w, 1, device="cpu") for w in (world, recast(world, teacher=lambda: stored)))
        (_, a), (_, b) = turns(live), turns(memory)
        assert torch.equal(a["student"]["hard"], b["student"]["hard"])
        assert b["student"]["soft"].item() == pytest.approx(
            a["student"]["soft"].item(), abs={"samples": 0.06, "top-k": 0.3, "hidden": 1e-3}[kind]
        )
        fit(memory, 4)

    def test_a_killed_labelling_goes_on_to_the_same_bits(self, teacher: LM, x: dict[str, Tensor], tmp_path: Path) -> None:
        self.label(teacher, x, tmp_path / "whole", Encoding("samples", 5))
        asked: list[int] = []

        class Killed(Exception):
            pass

        def power_cut(done: int) -> None:
            if done == 16:
                raise Killed

        with pytest.raises(Killed):
            self.label(teacher, x, tmp_path / "cut", Encoding("samples", 5), progress=power_cut)
        (tmp_path / "cut" / ".half.tmp").write_bytes(b"half")
        with pytest.raises(Refused, match="finished"):
            Recorded(tmp_path / "cut", teacher)
        handle = teacher.register_forward_hook(lambda _m, a, _o: asked.append(len(a[0]["input_ids"])))
        try:
            self.label(teacher, x, tmp_path / "cut", Encoding("samples", 5), batch=20)
            assert sum(asked) == 1 + 4  # one to know what is said, and the rows of the shard that was missing
            self.label(teacher, x, tmp_path / "cut", Encoding("samples", 5))
            assert sum(asked) == 1 + 4 + 1
        finally:
            handle.remove()
        files = sorted(p.name for p in (tmp_path / "whole").iterdir())
        assert files == sorted(p.name for p in (tmp_path / "cut").iterdir())
        assert all((tmp_path / "whole" / f).read_bytes() == (tmp_path / "cut" / f).read_bytes() for f in files)

    def test_many_processes_on_one_folder(self, teacher: LM, x: dict[str, Tensor], tmp_path: Path) -> None:
        folder, e = tmp_path / "store", Encoding("samples", 5)
        assert not label(teacher, [x], folder, e, shard=8, share=(1, 2))
        assert label(teacher, [x], folder, e, shard=8, share=(0, 2))
        assert len(Recorded(folder, teacher)) == 20

    def test_equal_rows_once(self, teacher: LM, x: dict[str, Tensor], tmp_path: Path) -> None:
        label(teacher, [x, x, {k: v[3:5] for k, v in x.items()}], tmp_path / "store", Encoding("samples", 5), shard=8)
        assert len(Recorded(tmp_path / "store", teacher)) == 20

    def test_of_a_server(self, tmp_path: Path) -> None:
        """What was said elsewhere: two rows, of two places and of one, with three words told and with two."""
        said = Words.of(
            torch.tensor([[5, 1, 9], [2, 0, -1], [7, 8, -1]]),
            torch.tensor([[-1.0, -2.0, -3.0], [-0.5, -4.0, 0.0], [-1.0, -1.5, 0.0]]),
        )
        x = torch.tensor([[1, 2], [3, 4]])
        writer = Writer(tmp_path / "store", Plan("openai:lead", 10, _shape(x), Encoding("top-k", 3), 8))
        writer.write(name(0), keys(x), said.split([2, 1]))
        assert writer.finish([name(0)])
        found = Recorded(tmp_path / "store")(x.flip(0))
        assert [sorted(zip(i, p, strict=True)) for i, p in zip(found.ids.tolist(), found.logp.tolist(), strict=True)] == [
            [(-1, -torch.inf), (7, -1.0), (8, -1.5)],
            [(1, -2.0), (5, -1.0), (9, -3.0)],
            [(-1, -torch.inf), (0, -4.0), (2, -0.5)],
        ]
        with pytest.raises(Refused, match=r"label\.words=10"):
            Writer(tmp_path / "other", writer.plan).write(
                name(0), keys(x[:1]), [Words.of(torch.tensor([[10]]), torch.tensor([[-1.0]]))]
            )


class TestRefused:
    """By name, in one line."""

    @pytest.fixture
    def store(self, world: World, teacher: LM, tmp_path: Path) -> Path:
        label(teacher, [world.rows(0).x], tmp_path / "store", Encoding("samples", 5), shard=4)
        return tmp_path / "store"

    def test_other_plans(self, world: World, teacher: LM, store: Path) -> None:
        x, other = world.rows(0).x, copy.deepcopy(teacher)
        with torch.no_grad():
            next(other.parameters()).add_(1)
        for changed, named in (
            (lambda: label(other, [x], store, Encoding("samples", 5), shard=4), "label.teacher"),
            (lambda: label(teacher, [x], store, Encoding("samples", 6), shard=4), "label.encoding.*'size': 5"),
            (lambda: label(teacher, [x], store, Encoding("samples", 5, t=2.0), shard=4), r"label.encoding.*'t': 1\.0"),
            (lambda: label(teacher, [x], store, Encoding("hidden", 0), shard=4), "label.encoding.*samples"),
            (lambda: label(teacher, [x], store, Encoding("samples", 5), shard=5), "label.shard"),
            (lambda: label(teacher, [], store), "at least one batch"),
            (lambda: label(nn.Linear(2, 2), [torch.zeros(1, 2)], store), "label.teacher"),
            (lambda: Recorded(store, other), "other weights"),
            (lambda: Recorded(store.parent), "manifest.json"),
            (lambda: Encoding("hidden", 5), "no size"),
            (lambda: Encoding("samples", 0), "encoding.size=0"),
            (lambda: Encoding("sample", 5), "encoding.kind='sample'"),
        ):
            with pytest.raises(Refused, match=named):
                changed()
        Recorded(store, teacher)

    def test_another_vocabulary(self, teacher: LM, store: Path) -> None:
        smaller = LM(copy.deepcopy(teacher.inner), teacher.size - 1)
        with pytest.raises(Refused, match="vocabulary of 279; it holds one of 280"):
            Recorded(store, smaller)

    def test_rows_never_asked_about(self, world: World, teacher: LM, store: Path) -> None:
        stored, x = Recorded(store, teacher), world.rows(0).x
        for other in (world.rows(1).x, x | {"asked": ~x["asked"]}, {k: v[:, :3] for k, v in x.items()}):
            with pytest.raises(Refused, match="never asked"):
                stored(other)
        with pytest.raises(Refused, match="tap='penultimate'"):
            stored.read(("penultimate",), x)

    def test_another_temperature(self, world: World, teacher: LM, store: Path) -> None:
        stored = Recorded(store, teacher)
        with pytest.raises(Refused, match=r"t=2\.0"):
            turns(start(registry.build({"name": "kd", "t": 2.0}), recast(world, teacher=lambda: stored), 1, device="cpu"))

    def test_damage(self, world: World, teacher: LM, store: Path) -> None:
        x, shard = world.rows(0).x, store / "shard-000001.safetensors"
        good = shard.read_bytes()
        for at in (len(good) - 3, len(good) // 2, 20):
            shard.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
            with pytest.raises(Refused, match="store="):
                Recorded(store, teacher)(x)
            with pytest.raises(Refused):
                label(teacher, [x], store, Encoding("samples", 5), shard=4)
        for broken in (good[:-5], good[:50], b"", good + b"more"):
            shard.write_bytes(broken)
            with pytest.raises(Refused, match="damaged"):
                Recorded(store, teacher)(x)
        shard.unlink()
        with pytest.raises(Refused, match="exists"):
            Recorded(store, teacher)
        shard.write_bytes(good)
        Recorded(store, teacher)(x)
        for file in ("book.safetensors", "manifest.json"):
            kept = (store / file).read_bytes()
            (store / file).write_bytes(kept[: len(kept) // 2])
            with pytest.raises(Refused, match="store="):
                Recorded(store, teacher)
            (store / file).write_bytes(kept)
