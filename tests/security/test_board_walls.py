"""The board serves and writes nothing outside of its folder, whatever lies in there and whatever is asked."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from integration.test_board import client, fake, post, rows
from understudy.board import reading, server

NAMES = ["../secret", "..%2fsecret", "%2e%2e/secret", "%2e%2e%2fsecret", "a/../../secret", "a%2f..%2f..%2fsecret", "/etc", "%2fetc", "//etc", "a%00", "%00", "a/%00/../../secret", "..\\secret",
         "%5c..%5csecret", "....//secret", "out", "out/inner", "a/checkpoints", "%ff%fe", "a%0d%0aX: y", "%252e%252e%252fsecret", ".board", ".", ""]  # fmt: skip
FILES = [
    "report.html",
    "config.toml",
    "config.json",
    "state.json",
    "../../secret/report.html",
    "..%2f..%2fsecret%2freport.html",
    "%2fetc%2fpasswd",
    "student.onnx",
    "metrics.jsonl%00",
    "link",
    "",
]
SECRET = "nobody is to read this"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Runs, and links in every place that lead out."""
    runs, secret = tmp_path / "runs", fake(tmp_path, "secret")
    for file in ("report.html", "config.toml", "README.md", "student.onnx", "metrics.jsonl"):
        (secret / file).write_text(SECRET)
    (secret / "checkpoints").mkdir()
    fake(runs, "a", state="stopped")
    (runs / "a" / "config.toml").write_text("a = 1\n")
    (runs / "a" / "README.md").symlink_to(secret / "README.md")
    (runs / "a" / "student.onnx").symlink_to(secret / "student.onnx")
    (runs / "a" / "checkpoints").symlink_to(secret / "checkpoints")
    (runs / "out").symlink_to(secret)
    (runs / "dangling").symlink_to(tmp_path / "made")
    fake(runs, "b", state="stopped")
    return runs


def outside(folder: Path) -> dict[str, Any]:
    """All that is beside the folder, with what it holds and when it was written."""
    found = {}
    for base, _, files in os.walk(folder.parent):
        if not Path(base).is_relative_to(folder):
            found |= {
                os.path.join(base, f): (os.stat(os.path.join(base, f)).st_mtime_ns, Path(base, f).read_bytes()) for f in files
            } | {base: ()}
    return found


def test_every_way_in_is_walked(folder: Path) -> None:
    """Each route that there is, with each name: nothing from outside comes out, nothing is written."""
    page = client(folder, program=(sys.executable, "-c", "pass"))
    before, asked = outside(folder), 0
    routes = [r for r in page.app.routes if isinstance(r, APIRoute)]  # type: ignore[attr-defined]
    assert {r.path for r in routes} == {"/", "/static/{name}", "/plotly.js", "/api/runs", "/api/beside", "/api/methods", "/runs/{name:path}/report", "/runs/{name:path}/files/{file}",
                                        "/runs/{name:path}/output", "/api/command", "/api/start", "/api/resume", "/api/stop", "/api/dismiss"}, "a new route is walked too"  # fmt: skip
    for route in routes:
        if "{" not in route.path:
            continue
        for name in NAMES:
            for file in FILES if "{file}" in route.path else [""]:
                answer = page.get(route.path.replace("{name:path}", name).replace("{name}", name).replace("{file}", file))
                asked += 1
                assert SECRET not in answer.text, (route.path, name, file)
                assert answer.status_code in (200, 303, 307, 404, 405, 422), (route.path, name, file, answer.status_code)
    for name in NAMES:
        for path in ("/api/stop", "/api/resume", "/api/dismiss"):
            assert post(page, path, {"run": name}).status_code == 422
        assert SECRET not in page.get("/api/beside", params={"run": name}).text
        if name not in ("", "out", "a%00", "%00"):
            assert post(page, "/api/start", {"name": name}).status_code == 422, name
        asked += 4
    assert asked > 300
    assert outside(folder) == before


def test_links_out_of_the_folder_are_no_runs(folder: Path) -> None:
    seen = rows(client(folder))
    assert set(seen) == {"a", "b"}
    page = client(folder, program=(sys.executable, "-c", "open('written', 'w')"))
    for file in ("README.md", "student.onnx"):
        assert page.get(f"/runs/a/files/{file}").status_code == 422
    assert page.get("/runs/a/files/config.toml").text == "a = 1\n"
    (folder / "again").symlink_to(folder / "b")
    assert set(rows(client(folder))) == {"a", "b", "again"}, "a link inside is one"


def test_a_run_that_would_write_elsewhere_does_not_go_on(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "started"
    page = client(folder, program=(sys.executable, "-c", f"open({str(mark)!r}, 'w').close()"))
    answer = post(page, "/api/resume", {"run": "a"})
    assert answer.status_code == 422
    assert "is a link out of it" in answer.json()["error"]
    kept = json.loads((folder / "b" / "config.json").read_text())
    for where in (str(tmp_path / "elsewhere"), "../elsewhere", "/"):
        (folder / "b" / "config.json").write_text(json.dumps(kept | {"config": kept["config"] | {"folder": where}}))
        answer = post(page, "/api/resume", {"run": "b"})
        assert (answer.status_code, "it names" in answer.json()["error"]) == (422, True)
    assert post(page, "/api/start", {"name": "dangling"}).status_code == 422
    assert not mark.exists()
    assert not (tmp_path / "made").exists()
    assert not (folder / ".board").exists()


def test_what_a_run_says_is_written_over_no_other_file(folder: Path, tmp_path: Path) -> None:
    """A folder from elsewhere may bring a link where the output goes."""
    other = tmp_path / "other"
    other.write_text("kept")
    (folder / ".board").mkdir()
    (folder / ".board" / "b.log").symlink_to(other)
    page = client(folder, program=(sys.executable, "-c", "print('hello')"))
    assert post(page, "/api/resume", {"run": "b"}).status_code == 200
    assert other.read_text() == "kept"
    assert not (folder / ".board" / "b.log").is_symlink()
    (folder / ".board" / "b.log").unlink()
    (folder / ".board").rmdir()
    (folder / ".board").symlink_to(tmp_path / "secret")
    fake(folder, "c", state="stopped")
    assert post(client(folder, program=(sys.executable, "-c", "print('hello')")), "/api/resume", {"run": "c"}).status_code == 422
    assert not (tmp_path / "secret" / "c.log").exists()


@pytest.mark.parametrize("name", ["config.json", "state.json", "findings.json", "metrics.jsonl"])
def test_files_that_never_end_are_not_read(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(folder, "odd")
    path = folder / "odd" / name
    path.unlink()
    os.mkfifo(path)
    assert rows(client(folder))["b"]["state"] == "stopped"
    path.unlink()
    path.symlink_to("/dev/zero")
    assert rows(client(folder))["b"]["state"] == "stopped"
    path.unlink()
    with path.open("wb") as f:
        f.truncate(2**33)
    assert rows(client(folder))["b"]["state"] == "stopped"


@pytest.mark.parametrize(
    "value", ["1" + "0" * 400, "[" * 500 + "]" * 500, '{"a":' * 900 + "1" + "}" * 900, "-1e999", '"\\ud800"']
)
def test_numbers_and_tables_beyond_all_bounds(value: str, folder: Path) -> None:
    fake(folder, "odd")
    for name in ("config.json", "state.json", "findings.json"):
        text = (folder / "odd" / name).read_text().rstrip()
        for key in ("config", "seed", "lr", "since", "steps", "score", "parameters", "student"):
            (folder / "odd" / name).write_text(text[:-1] + f', "{key}": {value}' + "}")
            page = client(folder)
            assert rows(page)["b"]["state"] == "stopped"
            assert page.get("/api/beside?run=b&run=odd").status_code in (200, 422)
        (folder / "odd" / name).write_text(text)
    with (folder / "odd" / "metrics.jsonl").open("a") as f:
        f.write(f'{{"phase": "student", "step": {value}, "loss": {value}}}\n' + "[" * 100_000 + "\n")
    assert client(folder).get("/api/beside?run=b&run=odd").status_code == 200
    assert reading.number(10**400) is None
    assert server.HOSTS == ("127.0.0.1", "localhost", "[::1]")


def test_it_listens_here_only() -> None:
    with server.listen(0, 0) as s:
        assert s.getsockname()[0] == "127.0.0.1"
