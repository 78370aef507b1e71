"""The serving example answers this machine, by its name, in small pieces; and files that are served read nothing else."""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from understudy.export.onnx import export_onnx, session_of

for library in ("fastapi", "uvicorn", "httpx"):
    pytest.importorskip(library)
EXAMPLES = Path(__file__).parents[2] / "examples" / "serving"


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.syspath_prepend(EXAMPLES)
    export_onnx(torch.nn.Linear(3, 2), torch.rand(4, 3), tmp_path / "student.onnx")
    with importlib.import_module("load_test").running(str(tmp_path / "student.onnx")) as url:
        yield url
    for name in ("serve", "load_test"):
        sys.modules.pop(name, None)


def told(url: str, head: str, body: bytes = b"") -> tuple[int, str]:
    """Status and body of a request as it stands."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as s:
        s.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        said = b""
        while piece := s.recv(2**16):
            said += piece
    return int(said.split(b" ", 2)[1]), said.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")


def test_it_is_asked_by_its_own_name_and_in_small_pieces(url: str) -> None:
    body = json.dumps({"x": [[1, 2, 3]]}).encode()
    post = "POST /predict HTTP/1.1\nHost: {host}\nConnection: close\nContent-Type: {kind}\n{length}"
    own = {"host": url.removeprefix("http://"), "kind": "application/json", "length": f"Content-Length: {len(body)}"}
    assert told(url, post.format(**own), body)[0] == 200
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "0.0.0.0"):
        assert told(url, post.format(**own | {"host": host}), body)[0] == 400
    assert told(url, post.format(**own | {"kind": "text/plain"}), body)[0] == 422, "what any page may send"
    for length in ("Content-Length: 4000001", "Content-Length: 99999999999", "Transfer-Encoding: chunked"):
        status, said = told(url, post.format(**own | {"length": length}))
        assert (status, "at most 4,000,000 bytes" in said) == (413, True)
    for bad in (
        b'{"x": ' + b"[" * 100_000,
        b'{"x": [[1, 2, 1e39]]}',
        b'{"x": [[1, 2, 1e999]]}',
        b'{"x": [[1, 2, ' + b"9" * 500 + b"]]}",
        b"\x00" * 50,
        b'{"x": [["\\ud800", 1, 2]]}',
    ):
        status, said = told(url, post.format(**own | {"length": f"Content-Length: {len(bad)}"}), bad)
        assert status in (400, 422)
        assert "Traceback" not in said
    for page in ("/docs", "/redoc"):
        assert told(url, f"GET {page} HTTP/1.1\nHost: {own['host']}\nConnection: close")[0] == 404, (
            "pages that load scripts from elsewhere"
        )


def test_it_listens_here_only() -> None:
    assert 'uvicorn.run(serving(sys.argv[1]), host="127.0.0.1"' in (EXAMPLES / "serve.py").read_text()


def outward(folder: Path, location: str) -> str:
    """A graph whose weight lies in another file."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": "0", "length": "8"}.items():
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 2]) for name in ("x", "out")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["out"])], "g", values[:1], values[1:], [weight])
    path = folder / "x.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return str(path)


def test_a_graph_reads_no_file_outside_of_its_folder(tmp_path: Path, capfd: Any) -> None:
    (tmp_path / "net").mkdir()
    secret, own = tmp_path / "secret.bin", tmp_path / "net" / "own.bin"
    for file, values in ((secret, [42, 43]), (own, [1, 2])):
        file.write_bytes(np.array(values, np.float32).tobytes())
    os.symlink("../secret.bin", tmp_path / "net" / "link.bin")
    x = {"x": np.zeros((1, 2), np.float32)}
    assert session_of(outward(tmp_path / "net", "own.bin")).run(None, x)[0].tolist() == [[1, 2]]
    for location in ("../secret.bin", str(secret), "link.bin", "./../secret.bin", "own.bin/../../secret.bin"):
        with pytest.raises(Exception, match="(?i)external data"):
            session_of(outward(tmp_path / "net", location))
    assert "42" not in capfd.readouterr().out


def test_what_we_write_has_no_other_files(tmp_path: Path) -> None:
    export_onnx(torch.nn.Linear(3, 2), torch.rand(4, 3), tmp_path / "student.onnx")
    graph = onnx.load(tmp_path / "student.onnx", load_external_data=False).graph
    assert not any(t.data_location == TensorProto.EXTERNAL for t in graph.initializer)
    assert [p.name for p in tmp_path.iterdir()] == ["student.onnx"]
