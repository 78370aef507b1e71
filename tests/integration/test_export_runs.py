"""What a finished run ships: the student, nothing of the teacher, checked on rows of the data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from typer.testing import CliRunner

import understudy
from understudy import Refused, Training, methods
from understudy.cli import app
from understudy.export.measure import size_bytes
from understudy.models import load as model
from understudy.tasks import task
from understudy.worlds.rows import answers

SHORT = Training(epochs=3, batch=64, judgements=2, checkpoints=2)
FOREIGN = (b"teacher", b"projector", b"understudy", str(Path(__file__).parents[2]).encode())  # words that no program may hold


def distil(folder: Path, teacher: Any, student: Any, data: Any, method: Any = "kd", **more: Any) -> Any:
    settings = {"training": SHORT, "alone": False, "folder": str(folder / "runs"), "quiet": True, "check": False} | more
    return understudy.distill(teacher, student, data, method, **settings)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A convolutional student that learned through a projector too, from a network that brings its weights."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    method = methods.compose(methods.kd(), methods.fitnet(student_at="penultimate", teacher_at="2"))
    with torch.random.fork_rng():
        return distil(tmp_path_factory.mktemp("pictures"), net, "tiny-cnn?width=24", "digits", method)


@pytest.fixture(scope="module")
def shipped(pictures: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("shipped")
    names = ("student.safetensors", "student.onnx", "student.int8.onnx", "student.pt2", "my-student")
    return {name: pictures.ship(folder / name) for name in names}


def said(path: Path, x: Any) -> np.ndarray:
    """What a file answers, without Understudy."""
    if path.suffix == ".pt2":
        return torch.export.load(path).module()(x).detach().numpy()
    rows = {"x": x} if isinstance(x, torch.Tensor) else x
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {k: v.numpy() for k, v in rows.items()})[0]


def alike(path: Path, run: Any, x: Any, within: float) -> None:
    """The file says what the student says, of one row, of some, and of more than it was checked with."""
    for n in (1, 3, 90):
        part = x[:n] if isinstance(x, torch.Tensor) else {k: v[:n] for k, v in x.items()}
        wanted = run.student(part).detach().numpy()
        assert np.abs(said(path, part) - wanted).max() <= within * np.abs(wanted).max()


def test_programs_of_pictures(pictures: Any, shipped: dict[str, Any]) -> None:
    x = pictures.world.data.valid.x
    for name in ("student.onnx", "student.pt2"):
        made = shipped[name]
        alike(made.path, pictures, x, 1e-5)
        assert made.rows == 64
        true = max(np.abs(said(made.path, x[:n]) - pictures.student(x[:n]).detach().numpy()).max() for n in (1, 3, 64))
        assert made.difference == pytest.approx(true, abs=1e-6)
        assert made.bytes == made.path.stat().st_size
    assert not list(shipped["student.onnx"].path.parent.glob(".*"))


def test_eight_bits_and_what_they_cost(pictures: Any, shipped: dict[str, Any]) -> None:
    made, full = shipped["student.int8.onnx"], shipped["student.onnx"]
    cost, valid = made.cost, pictures.world.data.valid
    assert cost.how == "static"
    outs = {p: torch.as_tensor(said(p, valid.x)) for p in (made.path, full.path)}
    for graph, path in ((cost.int8, made.path), (cost.full, full.path)):
        assert graph.score == task("classify").metrics(outs[path], valid.y)["accuracy"]
        assert graph.bytes == path.stat().st_size
        assert all(ms > 0 for ms in graph.latency_ms.values())
    assert cost.int8.bytes < 0.6 * cost.full.bytes
    assert cost.agreement == (outs[made.path].argmax(1) == outs[full.path].argmax(1)).double().mean()
    assert cost.rows == len(valid.y)
    assert cost.int8.score > cost.full.score - 0.1


def test_only_the_student_is_in_it(pictures: Any, shipped: dict[str, Any]) -> None:
    """By the weights' names, by the size, by the words and the rows inside."""
    fresh = model("tiny-cnn?width=24", data=pictures.data).net.state_dict()
    weights = load_file(shipped["student.safetensors"].path)
    assert {k: v.shape for k, v in weights.items()} == {k: v.shape for k, v in fresh.items()}
    graph = onnx.load(shipped["student.onnx"].path).graph
    names = {t.name for t in graph.initializer}
    assert {k for k in fresh if k.endswith("0.weight") or k.startswith("head")} <= names
    assert sum(int(np.prod(t.dims)) for t in graph.initializer) <= sum(v.numel() for v in fresh.values()) + 2
    assert shipped["student.onnx"].bytes < size_bytes(pictures.student) + 4000
    program = torch.export.load(shipped["student.pt2"].path)
    assert program.state_dict.keys() == fresh.keys()
    assert program.example_inputs is None
    row = pictures.world.data.valid.x[0].numpy().tobytes()
    for name in ("student.onnx", "student.int8.onnx", "student.pt2"):
        data = shipped[name].path.read_bytes()
        assert not [word for word in (*FOREIGN, row) if word in data], name


def test_a_folder_for_the_hub(pictures: Any, shipped: dict[str, Any]) -> None:
    made = shipped["my-student"]
    assert {p.name for p in made.path.iterdir()} == {"README.md", "config.json", "model.onnx", "model.safetensors"}
    about = json.loads((made.path / "config.json").read_text())
    assert about["inputs"] == {"x": {"shape": ["batch", 1, 8, 8], "dtype": "float32"}}
    assert about["classes"] == list(pictures.data.classes)
    assert about["normalisation"]["mean"] == pytest.approx(pictures.data.mean.tolist())
    card = (made.path / "README.md").read_text()
    assert card.startswith("---\n")
    assert '"model.onnx"' in card
    assert '"model.safetensors"' in card
    assert "student.onnx" not in card
    assert made.bytes == sum(p.stat().st_size for p in made.path.iterdir())
    alike(made.path / "model.onnx", pictures, pictures.world.data.valid.x, 1e-5)
    again = model(f"file:{made.path}/model.safetensors", data=pictures.data)
    x = pictures.world.data.valid.x
    assert torch.equal(again.net.eval()(again.view(x)), pictures.student(x))


def test_what_is_there_is_left_alone(pictures: Any, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of it")
    for path in (tmp_path, tmp_path / "precious"):
        with pytest.raises(Refused, match="isn't there or is empty"):
            pictures.export(path)
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years of it"
    with pytest.raises(Refused, match=r"\.safetensors, \.int8\.onnx, \.onnx, \.pt2, or a folder"):
        pictures.export(tmp_path / "student.bin")
    assert not (tmp_path / "student.bin").exists()


def rows(folder: Path, **target: Any) -> str:
    """A table of five numbers and one target."""
    g = np.random.default_rng(0)
    x = g.normal(size=(300, 5))
    ((name, make),) = target.items()
    pd.DataFrame(x, columns=list("abcde")).assign(**{name: make(x)}).to_csv(folder / f"{name}.csv", index=False)
    return f"csv:{folder}/{name}.csv?target={name}"


def test_tables_numbers_and_several_labels(tmp_path: Path) -> None:
    price = rows(tmp_path, price=lambda x: 1000 + 50 * x[:, 0])
    tags = rows(tmp_path, tags=lambda x: ["|".join(["p"] * int(r[0] > 0) + ["q"] * int(r[1] > 0)) for r in x])
    for data, metric in ((price, "r2"), (f"{tags}&task=multilabel", "f1")):
        run = distil(tmp_path, "tiny-mlp", "tiny-mlp?width=64", data, training=Training(epochs=15, batch=32))
        valid = run.world.data.valid
        for path in (run.folder / "student.onnx", run.export(tmp_path / metric / "student.pt2")):
            alike(path, run, valid.x, 1e-5)
        cost = run.ship(tmp_path / metric / "student.int8.onnx").cost
        assert (cost.how, cost.metric) == ("dynamic", metric)
        small = torch.as_tensor(said(tmp_path / metric / "student.int8.onnx", valid.x))
        assert cost.int8.score == pytest.approx(task(run.world.task).metrics(small, valid.y)[metric])
        assert cost.int8.score > 0.6
        assert cost.agreement > 0.9


def test_texts_and_a_student_of_transformers(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    lines = [("a good film", "pos"), ("so bad", "neg"), ("good , good", "pos"), ("bad film", "neg")] * 30
    pd.DataFrame(lines, columns=["text", "label"]).to_csv(tmp_path / "said.csv", index=False)
    texts = f"csv:{tmp_path}/said.csv"
    own = distil(tmp_path, "tiny-bilstm", "tiny-bilstm?width=16", texts)
    alike(own.folder / "student.onnx", own, own.world.data.valid.x, 1e-5)
    assert own.ship(tmp_path / "student.int8.onnx").cost.how == "dynamic"

    raw = Tokenizer(
        models.WordLevel(
            {w: i for i, w in enumerate(["[PAD]", "[UNK]", "a", "good", "bad", "film", "so", ","])}, unk_token="[UNK]"
        )
    )
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", model_max_length=8)
    tokens.save_pretrained(tmp_path / "bert")
    config = BertConfig(vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_position_embeddings=8,
                        id2label={0: "neg", 1: "pos"}, label2id={"neg": 0, "pos": 1})  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(tmp_path / "bert")
    run = distil(tmp_path, f"hf:{tmp_path}/bert", "shrink:0.5", texts)
    x = run.world.data.valid.x.of("student")
    for path in (run.folder / "student.onnx", run.export(tmp_path / "bert.pt2")):
        alike(path, run, x, 1e-4)
        assert str(tmp_path).encode() not in path.read_bytes()
    assert {i.name for i in onnx.load(run.folder / "student.onnx").graph.input} == x.keys()
    folder = run.export(tmp_path / "bert-small")
    again = model(f"hf:{folder}", data=run.data)
    assert again.trained
    assert torch.equal(answers(again.net, again.encode(run.data.valid.raw)), answers(run.student, x))
    assert AutoTokenizer.from_pretrained(folder)("so bad")["input_ids"] == tokens("so bad")["input_ids"]
    weights = load_file(folder / "model.safetensors")
    assert not [name for name in weights if not name.startswith(("bert.", "classifier."))]
    assert "library_name: transformers" in (folder / "README.md").read_text()


def test_the_command(pictures: Any, shipped: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.job.resume", lambda folder, trust=False: pictures)
    monkeypatch.setattr(type(pictures), "finished", lambda self: self)
    monkeypatch.setattr(type(pictures), "ship", lambda self, path: shipped[path.name.replace("s.", "student.", 1)])
    asked = [word for name in ("s.onnx", "s.int8.onnx") for word in ("--to", str(tmp_path / name))]
    plain = CliRunner().invoke(app, ["export", "run", *asked, "--json"])
    told = json.loads(plain.stdout)["files"]
    assert [f["kind"] for f in told] == ["onnx", "int8"]
    assert told[0]["batches"] == [1, 3, 64]
    assert set(told[1]["cost"]) == {"how", "metric", "rows", "agreement", "full", "int8"}
    shown = " ".join(CliRunner().invoke(app, ["export", "run", *asked]).stdout.split())  # lines may be broken anywhere
    assert "run by ONNX Runtime on 64 validation rows" in shown
    assert f"static: accuracy {100 * told[1]['cost']['full']['score']:.1f} % → " in shown
    refused = CliRunner().invoke(app, ["export", "run", "--to", str(shipped["my-student"].path)])
    assert refused.exit_code == 2
    assert "isn't there or is empty" in refused.stderr


def test_a_language_model_is_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from transformers import AutoModelForCausalLM

    from integration.speakers import speaker, texts
    from understudy import config as configuration
    from understudy.job import plan

    texts(tmp_path)
    for name, how in {"teacher": {"layers": 2, "width": 32}, "student": {"seed": 1}}.items():
        speaker(tmp_path / name, **how)
    asked = {"teacher": f"hf:{tmp_path}/teacher", "student": f"hf:{tmp_path}/student", "lm": {"length": 48},
             "data": {"address": f"jsonl:{tmp_path}/chats.jsonl", "task": "lm", "limit": 40}}  # fmt: skip
    job = plan(configuration.build(asked))
    job.student = job.begun
    for name in ("student.onnx", "student.safetensors", "student.int8.onnx", "student.pt2"):
        with pytest.raises(Refused, match="a language model is more than one file; leave the ending out"):
            job.export(tmp_path / name)
    made = job.ship(tmp_path / "out")
    assert (made.kind, made.difference) == ("folder", None)
    mine, theirs = (AutoModelForCausalLM.from_pretrained(p).state_dict() for p in (made.path, tmp_path / "student"))
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(v, theirs[k]) for k, v in mine.items())
    with pytest.raises(Refused, match="isn't there or is empty"):
        job.export(tmp_path / "teacher")
    assert (tmp_path / "teacher" / "config.json").exists()
