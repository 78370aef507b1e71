"""What any teacher said, kept in a folder: found again to the bit, never stale, never lost, never doubled."""

from __future__ import annotations

import copy
import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from understudy import distill
from understudy.config import Config, build
from understudy.core import registry
from understudy.core.errors import Refused
from understudy.job import asked, plan
from understudy.models.wrap import Normalise
from understudy.parts.change import Change
from understudy.teachers import Encoding, Recorded, label, recorded
from understudy.teachers.labelling import code_of, fingerprint
from understudy.teachers.places import Place
from understudy.teachers.shards import manifest

SMALL = {"data": {"address": "digits", "limit": 300}, "training": {"epochs": 3, "checkpoints": 1, "judgements": 1}, "teacher_training": {"epochs": 15},
         "teacher": "cnn?width=8", "student": "tiny-cnn?width=3", "alone": False}  # fmt: skip


def config(folder: Path, **more: Any) -> Config:
    return build(SMALL | {"folder": str(folder)} | more)


def weights(net: nn.Module) -> Tensor:
    return torch.cat([v.detach().double().flatten() for v in net.state_dict().values()])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher of digits, trained once, in `runs`; what it says of rows, features and three views in `plain` and `views`."""
    folder = tmp_path_factory.mktemp("store")
    job = plan(config(folder / "runs"))
    job.teach()
    asked(job, str(folder / "plain"), Encoding("float32"), ("penultimate",))
    seen = plan(config(folder / "runs", augment={"views": 3, "colour": 0.2, "mirror": 0.5}))
    seen.teach()
    asked(seen, str(folder / "views"), Encoding("float32"))
    return folder


class TestALearnerCantTell:
    @pytest.mark.parametrize("method", ["kd", "fitnet"])
    def test_same_bits_as_online(self, place: Path, method: str) -> None:
        at = {"name": method} | ({"teacher_at": "penultimate", "student_at": "penultimate"} if method == "fitnet" else {})
        fields = registry.get(method).__dataclass_fields__
        at = {k: v for k, v in at.items() if k == "name" or k in fields}
        online = plan(config(place / "runs", method=at)).run()
        taps = tuple(online.method.taps().get("teacher", ()))
        if taps and taps != ("penultimate",):
            asked(online, str(place / "tapped"), Encoding("float32"), taps)
        stored = plan(
            config(
                place / "runs", method=at, signal=f"store:{place / ('tapped' if taps and taps != ('penultimate',) else 'plain')}"
            )
        ).run()
        assert torch.equal(weights(online.student), weights(stored.student))
        assert stored.world.given_teacher is stored.stored

    def test_the_same_crops_and_the_same_bits(self, place: Path) -> None:
        augment = {"views": 3, "colour": 0.2, "mirror": 0.5}
        online = plan(config(place / "runs", augment=augment)).run()
        stored = plan(config(place / "runs", signal=f"store:{place / 'views'}")).run()  # the folder says which views
        plain = plan(config(place / "runs")).run()
        assert torch.equal(weights(online.student), weights(stored.student))
        assert not torch.equal(weights(online.student), weights(plain.student))

    def test_no_teacher_at_hand(self, place: Path, tmp_path: Path) -> None:
        job = distill(teacher="none", student="tiny-cnn?width=3", data=plan(config(tmp_path)).data, signal=f"store:{place / 'plain'}", epochs=1, alone=False,
                      folder=str(tmp_path), quiet=True)  # fmt: skip
        assert job.findings.student.score > 0
        assert job.findings.teacher.score > 0.5  # what it said of the test rows is in the folder

    def test_views_are_what_is_stored(self, place: Path) -> None:
        """The student's crop comes from the folder's numbers; a picture as it is stays so."""
        stored, x = Recorded(place / "views"), plan(config(place / "runs")).world.data.train.x[:9]
        change, number = stored.views, torch.arange(9) % 3
        view = stored.seen(x, number)
        assert torch.equal(view, change.drawn(x, number))
        assert len(view.unique(dim=0)) == 9
        assert torch.equal(change.seen(x, change.drawn(x, torch.full((9,), -1))), x)
        assert not torch.equal(change.seen(x, view), x)
        moved = change.seen(torch.stack([x[0]] * 3), change.drawn(torch.stack([x[0]] * 3), torch.tensor([0, 1, 2])))
        assert not torch.equal(moved[0], moved[1])


class TestEncodings:
    @pytest.mark.parametrize("kind", ["float32", "float16", "int8", "top-k", "samples", "hybrid"])
    def test_close_to_what_was_said(self, place: Path, tmp_path: Path, kind: str) -> None:
        job = plan(config(place / "runs"))
        job.teach()
        asked(job, str(tmp_path / "store"), Encoding(kind, 6 if kind in ("top-k", "samples", "hybrid") else 0))
        stored, x = Recorded(tmp_path / "store"), job.world.data.valid.x
        live, said = job.teacher(x).detach(), stored(x)
        if kind == "float32":
            assert torch.equal(live, said)
        elif isinstance(said, Tensor):
            assert (live - said).abs().max() < {"float16": 0.01, "int8": live.abs().max() / 127}[kind]
        else:
            p, q = live.softmax(1), said.dense().softmax(1)
            assert (p - q).abs().max() < (0.02 if kind == "top-k" else 1 / 6)
            assert p.argmax(1).eq(q.argmax(1)).float().mean() > 0.9
        run = plan(
            config(place / "runs", signal=f"store:{tmp_path / 'store'}", training={"epochs": 1}, method={"name": "kd", "t": 1.0})
        ).run()
        assert run.findings.student.score > 0

    def test_bytes(self, place: Path) -> None:
        """A row of ten float32 logits and 32 features is that, and its key and checksum."""
        stored = Recorded(place / "plain")
        (features,) = (c.size() for k, c in stored.plan.columns.items() if k.startswith("at "))
        told = manifest(Place(place / "plain"))
        held = told["bytes"] - told["rows"] * (40 + features + 16)
        assert 0 < held < 2000 * len(told["shards"])

    def test_a_method_that_reads_logits_says_so(self, place: Path, tmp_path: Path) -> None:
        job = plan(config(place / "runs"))
        job.teach()
        asked(job, str(tmp_path / "store"), Encoding("top-k", 3))
        with pytest.raises(Refused, match="logits.*--dense float32"):
            plan(config(place / "runs", signal=f"store:{tmp_path / 'store'}", method="dkd")).run()

    def test_whatever_a_teacher_says(self, tmp_path: Path) -> None:
        """Boxes, a sequence with its log-probabilities, attention, whole numbers: each row as many as it has."""

        class Detects(nn.Module):
            def forward(self, x: Tensor) -> dict[str, Any]:
                rows = [int(v) for v in x[:, 0]]
                return {"logits": x * 2, "attention": x[:, None, :, None].expand(-1, 2, -1, 3).contiguous(), "counts": x[:, 0].long(),
                        "boxes": [{"xyxy": torch.arange(4.0 * n).reshape(n, 4) + n, "score": torch.rand(n, generator=torch.Generator().manual_seed(n))} for n in rows],
                        "said": [torch.arange(n + 1) for n in rows]}  # fmt: skip

        x = torch.tensor([[0.0, 1], [3, 2], [1, 5], [2, 0]])
        label(Detects(), x.split(2), tmp_path / "store", Encoding("float32"), shard=3)
        live, stored = Detects()(x.flip(0)), Recorded(tmp_path / "store")(x.flip(0))
        assert torch.equal(live["attention"], stored["attention"]) and torch.equal(live["logits"], stored["logits"])
        assert torch.equal(live["counts"], stored["counts"])
        assert stored["counts"].dtype == torch.long
        for a, b in zip(live["boxes"], stored["boxes"], strict=True):
            assert torch.equal(a["xyxy"], b["xyxy"]) and torch.equal(a["score"], b["score"])
        assert all(torch.equal(a, b) for a, b in zip(live["said"], stored["said"], strict=True))

    def test_answers_that_are_no_numbers(self, tmp_path: Path) -> None:
        class Broken(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x.masked_fill(x > 6, torch.nan)

        with pytest.raises(Refused, match="finite answers"):
            label(Broken(), torch.arange(10.0).reshape(5, 2).split(1), tmp_path / "store", Encoding("float32"), shard=2)
        with pytest.raises(Refused, match="65504"):
            label(nn.Identity(), [torch.full((2, 2), 1e5)], tmp_path / "half", Encoding("float16"))


class TestNeverStale:
    def test_refused_by_what_differs(self, place: Path, tmp_path: Path) -> None:
        store = place / "plain"
        cases: list[tuple[Callable[[], Any], str]] = [
            (
                lambda: plan(config(place / "runs", teacher_training={"epochs": 1}, signal=f"store:{store}")).run(),
                r"store\.teacher",
            ),
            (
                lambda: plan(config(place / "runs", training={"precision": "bf16"}, signal=f"store:{store}")).run(),
                r"store\.precision",
            ),
            (lambda: plan(config(place / "runs", augment={"views": 2}, signal=f"store:{store}")).run(), r"store\.views"),
            (
                lambda: plan(config(place / "runs", augment={"views": 4}, signal=f"store:{place / 'views'}")).run(),
                r"store\.views",
            ),
            (
                lambda: plan(
                    config(place / "runs", data={"address": "digits", "limit": 400}, signal=f"store:{store}", teacher="none")
                ).run(),
                "never asked|rows",
            ),
            (lambda: plan(config(place / "runs", method="at", signal=f"store:{store}")).run(), "tap="),
            (lambda: Recorded(store, code="other"), r"store\.code"),
            (lambda: plan(config(place / "runs", signal="store:nowhere")), "manifest.json"),
            (lambda: plan(config(place / "runs", signal="on-policy")), "only language models"),
        ]
        for bad, named in cases:
            with pytest.raises(Refused, match=named):
                bad()

    def test_what_goes_before_a_teacher_is_known_by_its_code_and_numbers(self) -> None:
        a, b = Normalise([0.5], [0.25]), Normalise([0.5], [0.26])
        assert code_of(a) == code_of(copy.deepcopy(a)) != code_of(b)
        assert code_of(None) == ""
        assert code_of(lambda x: x + 1) != code_of(lambda x: x + 2)

    def test_a_forest_is_known_by_what_is_in_it(self) -> None:
        from sklearn.ensemble import RandomForestClassifier

        from understudy.teachers import Sklearn

        x, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3
        fitted = [Sklearn(RandomForestClassifier(4, random_state=s).fit(x, y)) for s in (0, 0, 1)]
        assert fingerprint(fitted[0]) == fingerprint(fitted[1]) != fingerprint(fitted[2])


class Line(nn.Module):
    """Counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.rows = nn.Linear(3, 4), 0
        nn.init.constant_(self.inner.weight, 0.5)
        nn.init.constant_(self.inner.bias, 0.25)

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        return self.inner(x)


def numbers(n: int, first: int = 0) -> Tensor:
    return torch.arange(first * 3.0, (first + n) * 3).reshape(n, 3)


class TestGrowing:
    def test_rows_are_added(self, tmp_path: Path) -> None:
        net, folder = Line(), tmp_path / "store"
        label(net, numbers(20).split(7), folder, Encoding("float32"), shard=8)
        before = {p.name: p.read_bytes() for p in folder.glob("shard-*")}
        net.rows = 0
        assert label(net, [numbers(30)], folder, Encoding("float32"), shard=8)
        assert net.rows == 1 + 10  # one to see what is said, and the ten that are new
        assert all((folder / k).read_bytes() == v for k, v in before.items())
        stored = Recorded(folder)
        assert len(stored) == 30 == len({*stored._keys.tolist()})
        assert torch.equal(stored(numbers(30).flip(0)), net(numbers(30).flip(0)))

    def test_a_shard_that_was_lost_is_made_again(self, tmp_path: Path) -> None:
        net, folder = Line(), tmp_path / "store"
        label(net, [numbers(40)], folder, Encoding("float32"), shard=8)
        lost = folder / "shard-000002.safetensors"
        bits = lost.read_bytes()
        lost.unlink()
        with pytest.raises(Refused, match="deleted"):
            Recorded(folder)
        label(net, [numbers(40)], folder, Encoding("float32"), shard=8)
        assert lost.read_bytes() == bits

    def test_read_while_it_is_written(self, tmp_path: Path) -> None:
        net, folder, seen = Line(), tmp_path / "store", []

        def look(done: int) -> None:
            if not seen:
                seen.append(Recorded(folder, unfinished=True))
                with pytest.raises(Refused, match="finished"):
                    Recorded(folder)
            assert torch.equal(seen[0](numbers(done)), net.inner(numbers(done)))
            if done < 32:
                with pytest.raises(Refused, match="never asked"):
                    seen[0](numbers(done + 1))

        label(net, numbers(32).split(8), folder, Encoding("float32"), shard=8, progress=look)
        assert len(seen[0]) == 32

    def test_an_address_of_fsspec(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import fsspec

        monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path / "cache"))
        net, there = Line(), f"memory://{tmp_path.name}/store"
        label(net, [numbers(20)], there, Encoding("float32"), shard=8)
        label(net, [numbers(20)], tmp_path / "here", Encoding("float32"), shard=8)
        fs = fsspec.filesystem("memory")
        names = sorted(p.rpartition("/")[2] for p in fs.ls(f"/{tmp_path.name}/store", detail=False))
        assert names == sorted(p.name for p in (tmp_path / "here").iterdir())
        assert all(fs.cat_file(f"/{tmp_path.name}/store/{n}") == (tmp_path / "here" / n).read_bytes() for n in names)
        assert torch.equal(Recorded(there)(numbers(20)), net(numbers(20)))
        label(net, [numbers(25)], there, Encoding("float32"), shard=8)
        assert len(Recorded(there)) == 25
        with pytest.raises(Refused, match="fsspec can open"):
            Recorded("nothing-of-the-kind://x/y")


class TestFaults:
    @pytest.mark.parametrize("small", [0, recorded.SMALL])
    def test_every_flipped_bit_and_every_cut_is_seen(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int) -> None:
        """Wherever a byte changes or the file ends, what is read is right, or refused; from a large store, read where it lies, and a small one."""
        monkeypatch.setattr(recorded, "SMALL", small)
        net, folder, chance = Line(), tmp_path / "store", random.Random(0)
        label(net, [numbers(20)], folder, Encoding("float32"), shard=8)
        right, shard = net(numbers(20)), folder / "shard-000001.safetensors"
        good, refused = shard.read_bytes(), 0
        at = sorted({*chance.sample(range(len(good)), 150), *range(len(good) - 40, len(good))})
        for i, cut in [(i, False) for i in at] + [(i, True) for i in at[::6]]:
            bad = good[:i] if cut else good[:i] + bytes([good[i] ^ (1 << chance.randrange(8))]) + good[i + 1 :]
            shard.write_bytes(bad)
            try:
                assert torch.equal(Recorded(folder)(numbers(20)), right), i
            except Refused as e:
                refused += "store" in str(e)
        assert refused > len(at)
        shard.write_bytes(good)
        assert torch.equal(Recorded(folder)(numbers(20)), right)

    def test_killed_at_any_point(self, tmp_path: Path) -> None:
        """SIGKILL at fifteen points, half of them inside a file being written: nothing is lost or doubled, and the bytes are those of a whole run."""
        child = Path(__file__).parent / "labelling_child.py"
        out = subprocess.run(
            [sys.executable, str(child), str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
        )
        assert out.returncode == 0, out.stderr
        told = json.loads(out.stdout.splitlines()[-1])
        assert told["killed"] == [-signal.SIGKILL] * 15
        whole = {p.name: p.read_bytes() for p in (tmp_path / "whole").iterdir()}
        assert len(whole) > 5
        for i in range(15):
            assert {p.name: p.read_bytes() for p in (tmp_path / f"cut-{i}").iterdir()} == whole, i
        assert len(Recorded(tmp_path / "cut-3")) == 40

    def test_two_writers_at_once(self, tmp_path: Path) -> None:
        """Neither knows of the other: both end, and the folder is one whole one."""
        child = Path(__file__).parent / "labelling_child.py"
        both = [subprocess.Popen([sys.executable, str(child), str(tmp_path), "once"]) for _ in range(2)]
        assert [p.wait(timeout=120) for p in both] == [0, 0]
        label(Line(), [numbers(40)], tmp_path / "alone", Encoding("float32"), shard=4)
        files = lambda name: {p.name: p.read_bytes() for p in (tmp_path / name).iterdir()}
        assert files("once") == files("alone")


def test_sizes_of_settings() -> None:
    with pytest.raises(Refused, match=r"augment\.zoom"):
        Change(zoom=1.0)
    with pytest.raises(Refused, match="aren't pictures"):
        Change(views=1).drawn(torch.zeros(2, 3), torch.zeros(2, dtype=torch.long))


def test_eight_bits_have_a_scale_of_their_own(tmp_path: Path) -> None:
    """A vector has one, a map one a channel, boxes one each; what comes back is off by half a step of its scale at most; nothing is no trouble."""

    class Says(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Any]:
            maps = torch.stack([x, 1000 * x], 1)[..., None].expand(-1, -1, -1, 2).contiguous()
            return {
                "vector": x,
                "maps": maps,
                "boxes": [torch.tensor([[v, 0.1], [100 * v, 1.0]]) if v else torch.zeros(0, 2) for v in x[:, 0].tolist()],
            }

    x = torch.tensor([[0.0, 0, 0], [1.0, -2, 0.5], [3.0, 4, 5]])
    label(Says(), [x], tmp_path / "store", Encoding("int8"))
    live, said = Says()(x), Recorded(tmp_path / "store")(x)
    assert ((live["vector"] - said["vector"]).abs() <= live["vector"].abs().amax(1, keepdim=True) / 253).all()
    assert ((live["maps"] - said["maps"]).abs() <= live["maps"].abs().amax((2, 3), keepdim=True) / 253).all()
    for a, b in zip(live["boxes"], said["boxes"], strict=True):
        assert a.shape == b.shape
        assert ((a - b).abs() <= a.abs().amax(1, keepdim=True) / 253).all()
