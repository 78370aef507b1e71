"""Exported files give the network's own answers, or aren't written."""

from __future__ import annotations

import copy
import json
import threading
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, load_model
from torch import Tensor, nn

from understudy.core.batch import each
from understudy.core.errors import Refused
from understudy.core.files import write_atomically
from understudy.export import measure
from understudy.export.onnx import export_onnx
from understudy.export.program import export_program
from understudy.export.quantise import answers, export_int8
from understudy.export.safetensors import save_weights


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm, self.head = nn.Embedding(50, 8), nn.LSTM(8, 12, batch_first=True), nn.Linear(12, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.lstm(self.embed(ids))[0].mean(1))


class Viewer(nn.Module):
    """Patches, a class token, positions, two attention blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.head = nn.Conv2d(1, 16, 7, 7), nn.Linear(16, 10)
        self.cls, self.places = nn.Parameter(torch.randn(1, 1, 16)), nn.Parameter(torch.randn(1, 17, 16))
        block = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.patch(x).flatten(2).transpose(1, 2)
        return self.head(self.blocks(torch.cat([self.cls.expand(len(h), -1, -1), h], 1) + self.places)[:, 0])


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(50, 8), nn.Linear(8, 3)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        mask = x["attention_mask"].unsqueeze(-1).float()
        return self.head((self.embed(x["input_ids"]) * mask).sum(1) / mask.sum(1))


class Fickle(nn.Module):
    """Treats a single row differently, which a graph with a dynamic batch can't."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if len(x) == 1 else x


def conv() -> nn.Module:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 10)
    )
    net(torch.rand(8, 1, 28, 28) * 3)  # statistics away from 0 and 1
    return net


def run(path: Path, **rows: Tensor) -> np.ndarray:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["out"], {k: v.numpy() for k, v in rows.items()})[0]


@pytest.mark.parametrize(
    ("build", "rows"),
    [
        (conv, lambda n: torch.rand(n, 1, 28, 28)),
        (Reader, lambda n: torch.randint(0, 50, (n, 12))),
        (Viewer, lambda n: torch.rand(n, 1, 28, 28)),
        (lambda: nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 1)), lambda n: torch.rand(n, 6)),
    ],
    ids=["conv", "lstm", "attention", "mlp"],
)
def test_any_number_of_rows_gives_the_networks_answers(build, rows, tmp_path, capfd):
    net, x = build(), rows(4)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    difference = export_onnx(net, x, tmp_path / "net.onnx")
    assert capfd.readouterr() == ("", "")
    assert 0 <= difference < 1e-5
    assert net.training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    for n in (1, 7):
        x = rows(n)
        assert np.allclose(run(tmp_path / "net.onnx", x=x), net.eval()(x).detach().numpy(), atol=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]  # no external data


def test_the_networks_own_view_of_a_row_is_in_the_graph(tmp_path):
    for net, x in ((nn.Linear(3, 2), torch.rand(5, 3) * 10), (Viewer().eval(), torch.rand(5, 1, 28, 28) * 10)):
        bare = copy.deepcopy(net)
        net.register_forward_pre_hook(lambda _, args: ((args[0] - 5) / 3, *args[1:]))
        export_onnx(net, x[:1], tmp_path / "net.onnx")  # one row is example enough
        assert np.allclose(run(tmp_path / "net.onnx", x=x), bare((x - 5) / 3).detach().numpy(), atol=1e-5)


def test_a_tokenizers_output_keeps_its_names(tmp_path):
    x = {"input_ids": torch.randint(0, 50, (3, 9)), "attention_mask": torch.ones(3, 9, dtype=torch.long)}
    net = Masked()
    export_onnx(net, x, tmp_path / "net.onnx")
    assert [i.name for i in onnx.load(tmp_path / "net.onnx").graph.input] == ["input_ids", "attention_mask"]
    assert np.allclose(run(tmp_path / "net.onnx", **x), net(x).detach().numpy(), atol=1e-5)


def test_a_graph_that_answers_otherwise_is_refused_and_not_written(tmp_path):
    with pytest.raises(Refused, match=r"onnx\.difference=0\.\d+ is not allowed: at most 0\.0001 of the largest output"):
        export_onnx(Fickle(), torch.rand(4, 3), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_a_tampered_graph_is_found_out(tmp_path, monkeypatch):
    import understudy.export.onnx as exporter

    true = exporter._graph

    def tampered(net, inputs):
        model = onnx.load_from_string(true(net, inputs))
        weight = next(t for t in model.graph.initializer if len(t.dims) == 2)
        values = onnx.numpy_helper.to_array(weight).copy()
        values.flat[0] += 0.01
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        return model.SerializeToString()

    monkeypatch.setattr(exporter, "_graph", tampered)
    with pytest.raises(Refused, match=r"onnx\.difference"):
        export_onnx(nn.Linear(3, 2), torch.ones(2, 3), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_named(tmp_path):
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    class Broken(nn.Module):
        def forward(self, x):
            return x + torch.nan

    for net, named in ((Pair(), r"net\.output='tuple'"), (Branching(), "net='Branching'"), (Broken(), r"onnx\.difference=nan")):
        with pytest.raises(Refused, match=named):
            export_onnx(net, torch.rand(2, 3), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_eight_bits_are_smaller_and_agree(tmp_path):
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Linear(32, 256), nn.ReLU(), nn.Linear(256, 10)), torch.randn(200, 32)
    for (net, x), how in ((wide, "dynamic"), ((conv_wide(), torch.rand(200, 1, 12, 12)), "static")):
        export_onnx(net, x[:2], tmp_path / "net.onnx")
        assert export_int8(tmp_path / "net.onnx", tmp_path / "int8.onnx", x.numpy()) == how
        assert (tmp_path / "int8.onnx").stat().st_size < (tmp_path / "net.onnx").stat().st_size / 2
        full, small = (answers(tmp_path / name, {"x": x.numpy()}) for name in ("net.onnx", "int8.onnx"))
        assert 0 < np.abs(full - small).max() < 0.1 * np.abs(full).max()
        assert (full.argmax(1) == small.argmax(1)).mean() > 0.9
    assert export_int8(tmp_path / "net.onnx", tmp_path / "int8.onnx") == "dynamic"  # nothing to set ranges by
    with pytest.raises(Refused, match="at least 1 row"):
        export_int8(tmp_path / "net.onnx", tmp_path / "int8.onnx", x[:0].numpy())
    with pytest.raises(Refused, match="an ONNX file"):
        export_int8(tmp_path / "none.onnx", tmp_path / "int8.onnx", None)


def conv_wide() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
    )


@pytest.mark.parametrize(
    ("build", "rows"),
    [
        (conv, lambda n: torch.rand(n, 1, 28, 28)),
        (Viewer, lambda n: torch.rand(n, 1, 28, 28)),  # its `len` fixes the batch for who traces values alone
        (Masked, lambda n: {"input_ids": torch.randint(0, 50, (n, 9)), "attention_mask": torch.ones(n, 9, dtype=torch.long)}),
    ],
    ids=["conv", "attention", "tokenizer"],
)
def test_a_program_is_a_file_of_json_and_numbers(build, rows, tmp_path, capfd):
    net, x = build(), rows(5)
    if isinstance(x, Tensor):
        net.register_forward_pre_hook(lambda _, args: ((args[0] - 0.5) / 3, *args[1:]))
    assert export_program(net, x, tmp_path / "net.pt2") == 0
    assert capfd.readouterr() == ("", "")
    assert net.training
    again = torch.export.load(tmp_path / "net.pt2").module()
    for n in (1, 2, 70):
        some = each(x, lambda t, n=n: t[torch.arange(n) % len(t)])
        assert torch.allclose(again(some), net.eval()(some), atol=1e-6)
    with zipfile.ZipFile(tmp_path / "net.pt2") as file:
        held = {name: file.read(name) for name in file.namelist()}
    (examples,) = (data for name, data in held.items() if "sample_inputs" in name)
    assert examples == b""  # no row of the data
    assert not [
        name for name, data in held.items() if (data[:1] == b"\x80" and data[-1:] == b".") or data[:2] == b"PK"
    ]  # no pickle, no torch.save
    assert not any(word in data for data in held.values() for word in (b"test_export", b"understudy", str(Path.cwd()).encode()))


def test_what_cannot_be_a_program_is_named(tmp_path):
    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    class Broken(nn.Module):
        def forward(self, x):
            return x + torch.nan

    for net, named in (
        (Branching(), "net='Branching'"),
        (Pair(), r"net\.output='tuple'"),
        (Broken(), r"program\.difference=nan"),
    ):
        with pytest.raises(Refused, match=named):
            export_program(net, torch.rand(2, 3), tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(7, 5), nn.Linear(5, 7, bias=False)
        self.head.weight = self.embed.weight


def test_weights_come_back_whole_and_shared_ones_are_stored_once(tmp_path):
    net, other = Tied(), Tied()
    save_weights(net, tmp_path / "net.safetensors")
    load_model(other, tmp_path / "net.safetensors")
    assert torch.equal(other.head.weight, net.embed.weight)
    with safe_open(tmp_path / "net.safetensors", "pt") as f:
        assert list(f.keys()) == ["embed.weight"]
        assert f.metadata()["architecture"] == str(net)
        assert json.loads(f.metadata()["shared"]) == {"head.weight": "embed.weight"}
    with pytest.raises(Refused, match="parameters or buffers"):
        save_weights(nn.ReLU(), tmp_path / "none.safetensors")


def test_tensors_that_only_overlap_are_all_stored(tmp_path):
    net = Tied()
    net.register_buffer("part", net.embed.weight.detach()[:2])
    net.register_buffer("turned", net.embed.weight.detach().T)
    net.register_buffer("none", torch.empty(0))
    saved = load_file(save_weights(net, tmp_path / "net.safetensors"))
    assert sorted(saved) == ["embed.weight", "none", "part", "turned"]
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in saved.items())


def test_costs():
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.BatchNorm1d(4), nn.Linear(4, 4, bias=False), nn.Dropout())
    net[2].weight = net[0].weight
    assert measure.parameters(net) == 16 + 8
    assert measure.size_bytes(net) == 4 * (16 + 8 + 8) + 8  # two running statistics and a whole number
    net[3].eval()
    assert 0 < measure.latency(net, torch.rand(1, 4), 5) < 500
    assert net.training
    assert not net[3].training


def test_latency_is_bounded_and_never_trains():
    class Slow(nn.Module):
        calls = 0

        def forward(self, x: dict[str, Tensor]) -> Tensor:
            assert not self.training
            assert not torch.is_grad_enabled()
            assert x["ids"].shape == (1, 2)
            self.calls += 1
            threading.Event().wait(0.2)
            return x["ids"]

    net = Slow()
    assert measure.latency(net, {"ids": torch.zeros(3, 2)}, 1000) >= 200
    assert net.calls <= 6


def test_a_file_is_whole_or_not_there(tmp_path):
    path = write_atomically(tmp_path / "new" / "file.txt", "é")
    assert path.read_bytes() == "é".encode()
    with pytest.raises(TypeError):
        write_atomically(path, 3)  # type: ignore[arg-type]
    assert path.read_text() == "é"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]
