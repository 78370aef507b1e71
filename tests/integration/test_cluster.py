"""A cluster's workers make the folder that one process makes, also where one of them is killed."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from understudy.cli import app
from understudy.config import build
from understudy.core.errors import Refused
from understudy.data.code import library, train_tokenizer
from understudy.lm import plan
from understudy.teachers import Encoding, Recorded, cluster, label
from understudy.worlds.texts import llama

TEACHER = "torch:integration.cluster_teacher:make?trained=true"
OWN = [
    f"ignore:`{name}` is deprecated:DeprecationWarning"
    for name in ("use_push_based_shuffle", "use_polars", "use_arrow_tensor_v2")
]  # Ray, of its own defaults


def u(*args: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args], prog_name="understudy")


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two workers' worth of a cluster, which says that it has a GPU, and the folder where teachers note who asks them."""
    pytest.importorskip("ray", reason="ray isn't installed: pip install 'understudy[cluster]'")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setenv("UNDERSTUDY_TEST_NOTES", str(tmp_path))
    ray = cluster.needed()
    ray.init(
        num_cpus=2,
        num_gpus=1,
        include_dashboard=False,
        object_store_memory=80 * 2**20,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield tmp_path
    ray.shutdown()


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def asked(notes: Path) -> Counter[int]:
    """Rows that each process asked about."""
    rows: Counter[int] = Counter()
    for line in (notes / "asked").read_text().splitlines():
        pid, n = map(int, line.split())
        rows[pid] += n
    return rows


@pytest.mark.filterwarnings(*OWN)
def test_one_of_two_workers_is_killed(notes: Path, tmp_path: Path) -> None:
    """Features and views of digits in five files. One worker is killed as it writes its second: not a byte is another, no row is lost or there twice."""
    how = ("--teacher", TEACHER, "--data", "digits", "--views", 2, "--taps", "inner", "--json")
    one, many = tmp_path / "one", tmp_path / "many"
    assert u("label", *how, "--out", one).exit_code == 0
    (notes / "asked").unlink()
    (notes / "die").touch()
    told = u("label", *how, "--out", many, "--cluster", "ray", "--workers", 2, "--gpus-per-worker", 0.5)
    assert told.exit_code == 0, told.output
    assert files(many) == files(one)
    stored, rows = Recorded(many), json.loads(told.stdout)["rows"]
    assert len(stored) == rows == len(set(stored._keys.tolist())) > 4000
    by = asked(notes)
    killed = int((notes / "died").read_text())
    assert not Path(f"/proc/{killed}").exists()
    assert len(by) >= 3 and by.pop(os.getpid()) == 1  # who starts it asks about a row, to see what is said
    assert by[killed] == 2 * 1024 + 1
    assert sum(by.values()) - len(by) == rows + 1024, "what was not written is asked again, and nothing else"

    (notes / "asked").unlink()
    before = {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in many.glob("*.safetensors")}
    assert u("label", *how, "--out", many, "--cluster", "ray", "--workers", 2).exit_code == 0
    assert asked(notes) == {os.getpid(): 1}
    assert {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in many.glob("*.safetensors")} == before


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """Workers as objects of this process, one behind the other: what is dealt out to each of them, and how often a shard was begun before."""
    seen: dict[str, list[int]] = {"lots": [], "begun": [0]}
    tally = SimpleNamespace(
        begin=SimpleNamespace(remote=lambda what: seen["begun"][0] * bool(what) + 1), end=SimpleNamespace(remote=lambda _: None)
    )
    ray = SimpleNamespace(
        cluster_resources=lambda: {"CPU": 2.0},
        put=lambda x: x,
        get=lambda x: x,
        is_initialized=lambda: True,
        remote=lambda **_: lambda _: SimpleNamespace(remote=lambda: tally),
    )

    def mapped(_: Any, blocks: list[Any], told: tuple[Any, ...], *__: Any) -> Iterator[Any]:
        seen["lots"].append(len(blocks))
        worker = cluster.Worker(*told)
        yield from map(worker, blocks)

    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", SimpleNamespace())
    monkeypatch.setattr(cluster, "_mapped", mapped)
    return seen


def test_words(here: dict[str, list[int]], tmp_path: Path) -> None:
    """A language model's draws, whose bits hang on what is written first: so the first shard is dealt alone."""
    texts = library(30_000)
    tokenizer = train_tokenizer(texts, 280)
    llama(280, (16, 1, 2)).inner.save_pretrained(tmp_path / "large")
    tokenizer.save_pretrained(tmp_path / "large")
    lines = [line for t in texts for line in t.splitlines() if len(line) > 30][:60]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in lines))
    config = build({"teacher": f"hf:{tmp_path / 'large'}", "student": f"hf:{tmp_path / 'large'}", "lm": {"length": 24},
                    "data": {"address": f"jsonl:{tmp_path / 'rows.jsonl'}", "task": "lm"}})  # fmt: skip
    job = plan(config)
    x: Any = job.data.parts["train"].x
    parts = lambda: ({k: v[i : i + 4] for k, v in x.items()} for i in range(0, len(x["input_ids"]), 4))
    how: dict[str, Any] = {"encoding": Encoding("samples", 9), "batch": 4, "shard": 8}
    teacher = job.world.given_teacher
    assert teacher is not None
    seen: list[int] = []
    label(teacher, parts(), tmp_path / "words", **how)
    cluster.label(config, teacher, parts(), tmp_path / "many words", **how, progress=seen.append)
    assert files(tmp_path / "many words") == files(tmp_path / "words")
    assert here["lots"][0] == 1 and len(files(tmp_path / "words")) == 2 + sum(here["lots"]) > 5
    assert seen == sorted(seen) and seen[-1] == len(Recorded(tmp_path / "words"))


def test_what_a_worker_refuses(here: dict[str, list[int]], tmp_path: Path) -> None:
    """Is refused, in one line; and so is a shard that none survives, and another teacher than the one that began."""
    again = lambda teacher, folder: u(
        "label", "--teacher", teacher, "--data", "digits", "--out", tmp_path / folder, "--cluster", "ray"
    )
    told = again(TEACHER.replace("make", "silly"), "silly")
    assert told.exit_code == 2 and "finite answers" in told.stderr and "Traceback" not in told.stderr
    assert not list((tmp_path / "silly").glob("shard-*"))
    here["begun"][0] = cluster.TRIES
    assert f"{cluster.TRIES} died of it" in again(TEACHER, "deadly").stderr
    here["begun"][0] = 0
    about: dict[str, Any] = {"config": build({"teacher": "tiny-mlp?width=4", "teacher_training": {"epochs": 1}, "folder": str(tmp_path / "runs")}).to_dict(),
                             "folder": str(tmp_path / "deadly"), "encoding": {"kind": "float32"}, "taps": [], "views": None, "precision": "no", "batch": 2,
                             "shard": 1024, "most": 1, "here": str(tmp_path / "elsewhere")}  # fmt: skip
    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    tally = SimpleNamespace(begin=SimpleNamespace(remote=lambda _: 1), end=SimpleNamespace(remote=lambda _: None))
    says = lambda: cluster.Worker(json.dumps(about), tally)(cluster._block("shard-000000.safetensors", x)).to_pylist()[0]
    assert says()["rows"] == 0 and "label.teacher" in says()["refused"]
    about["config"]["teacher"] = "hf:nowhere"
    assert "nowhere" in says()["refused"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "_loaded", lambda _: 1 / 0)
        assert "--cluster='ZeroDivisionError'" in says()["refused"]
    about["config"]["teacher"] = TEACHER
    assert says() == {"rows": 6, "refused": ""}
    assert says() == {"rows": 6, "refused": ""}  # it is there


class TestRefused:
    def test_without_ray(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setitem(sys.modules, "ray", None)
        told = u("label", "--data", "digits", "--out", tmp_path / "out", "--cluster", "ray")
        assert told.exit_code == 2
        (line,) = [line for line in told.stderr.splitlines() if "✘" in line]
        assert "--cluster='ray'" in line and "pip install 'understudy[cluster]'" in line
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("more", "named"),
        [
            (("--cluster", "slurm"), "--cluster='slurm'"),
            (("--workers", 2), "--workers=2"),
            (("--gpus-per-worker", 0.5), "--gpus-per-worker=0.5"),
            (("--cluster", "ray", "--teacher", "openai:http://localhost:1"), "one process"),
        ],
    )
    def test_what_doesnt_go_together(self, more: tuple[object, ...], named: str, tmp_path: Path) -> None:
        told = u("label", "--data", "digits", "--out", tmp_path / "out", *more)
        assert told.exit_code == 2, told.output
        assert named in told.stderr

    def test_what_workers_cant_reach(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ask = lambda folder: cluster.label(build({}), torch.nn.Identity(), [torch.zeros(1, 2)], folder)
        pytest.importorskip("ray", reason="ray isn't installed")
        with pytest.raises(Refused, match="all workers reach"):
            ask("memory://nobody/else")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            monkeypatch.setenv("RAY_ADDRESS", "{}:{}".format(*s.getsockname()))
        with pytest.raises(Refused, match=r"RAY_ADDRESS.*answers \(.*refused"):
            ask("anywhere")
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(Refused, match="accelerate launch"):
            ask("anywhere")
        assert not Path("anywhere").exists()

    def test_where_the_cluster_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """RAY_ADDRESS, as Ray has it; else one of this machine, without a dashboard, that ends with the work."""
        begun: list[dict[str, Any]] = []
        ended: list[bool] = []

        def init(**how: Any) -> None:
            begun.append(how)
            if os.environ.get("RAY_ADDRESS") == "nobody:1":
                raise ConnectionError("no answer")

        ray = SimpleNamespace(is_initialized=lambda: False, init=init, shutdown=lambda: ended.append(True))
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        with cluster.connected(ray, 3):
            assert not ended
        assert (
            begun[0]["num_cpus"] == 3
            and begun[0]["address"] == "local"
            and begun[0]["include_dashboard"] is False
            and ended == [True]
        )
        monkeypatch.setenv("RAY_ADDRESS", "nobody:1")
        with pytest.raises(Refused, match="RAY_ADDRESS='nobody:1'.*no answer"), cluster.connected(ray, 3):
            pass
        assert "num_cpus" not in begun[1]
        monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
        monkeypatch.setitem(sys.modules, "ray", None)
        with pytest.raises(Refused):
            cluster.needed()
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
