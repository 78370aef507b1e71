"""The board: what it reads, whom it answers, and what a reader does with it in a real browser."""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvicorn
from fastapi.testclient import TestClient

import understudy.publish
import understudy.report.html
from integration import child
from understudy.board import launch, reading, server
from understudy.board.index import Index
from understudy.board.launch import Wish
from understudy.core import checkpoint
from understudy.core.errors import Refused

KEY = "the-key"
BAD = "<img src=x onerror=alert(1)>"
KD = json.dumps({"name": "kd"})
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip


# runs that nobody trained ---------------------------------------------------------------------------------------------------------


def fake(folder: Path, name: str, *, state: str | None = "finished", score: float = 0.9, method: str = "kd", parameters: int = 6000, seed: int = 0,
         data: str = "digits", steps: int = 40, **said: Any) -> Path:  # fmt: skip
    """A run's folder as the job writes it; state None: one of a version that didn't write it down."""
    run = folder / name
    run.mkdir(parents=True)
    config = {"teacher": "digits", "student": "tiny-cnn", "data": {"address": data, "task": ""}, "method": {"name": method, "t": 4.0},
              "training": {"lr": 0.05, "seed": seed}, "alone": True, "folder": "runs"}  # fmt: skip
    (run / "config.json").write_text(
        json.dumps({"understudy": {"version": "0.1.0"}, "config": config, "objects": [], "rows": "00"})
    )
    luck = random.Random(name)
    points = [{"phase": "student", "step": i, "loss/hard": 2 / (i + 1), "loss/soft": luck.random()} for i in range(steps)]
    points += [{"phase": "student", "step": steps, "valid": score - 0.01}]
    (run / "metrics.jsonl").write_text("".join(json.dumps(p) + "\n" for p in points))
    if state is not None:
        about = {"state": state, "pid": 2, "host": "elsewhere", "since": time.time(), "phase": "student", "first": 0, "steps": steps, "at": time.time(), "error": ""}  # fmt: skip
        (run / "state.json").write_text(json.dumps(about | said))
    if state in ("finished", None):
        model = {
            "name": "cnn",
            "metrics": {"accuracy": score, "nll": 0.1},
            "bytes": 4 * parameters,
            "latency_ms": parameters / 6e4,
        }
        found = {"task": "classify", "metric": "accuracy", "teacher": model | {"score": 0.98, "parameters": 412_000}, "agreement": 0.97, "alone": None,
                 "student": model | {"score": score, "parameters": parameters}, "seconds": 12.0, "examined": {"calibration_student": 0.02}}  # fmt: skip
        (run / "findings.json").write_text(json.dumps(found))
        (run / "report.html").write_text(
            "<!doctype html><title>Report</title><h1>kept most of it</h1><script>document.title += ' drawn'</script>"
        )
    return run


def many(folder: Path, runs: int) -> None:
    luck = random.Random(0)
    for i in range(runs):
        fake(folder, f"2026-11-{1 + i % 28:02d}-{i // 3600:02d}{i // 60 % 60:02d}{i % 60:02d}-kd-digits-{i:04x}", score=0.8 + 0.18 * luck.random(),
             method=("kd", "dkd", "dist", "fitnet")[i % 4], parameters=int(10 ** luck.uniform(3, 5)), seed=i, steps=10)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def client(folder: Path, *, key: str = KEY, **more: Any) -> TestClient:
    """A browser on the page."""
    made = TestClient(server.create_app(folder, key=KEY, **more), base_url="http://127.0.0.1:8420", follow_redirects=False)
    made.cookies.set("understudy-board-8420", key)
    return made


def rows(page: TestClient) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in page.get("/api/runs").json()["runs"]}


def post(page: TestClient, path: str, body: Any, **headers: str) -> Any:
    token = page.get("/").text.partition('name="token" content="')[2].partition('"')[0]
    return page.post(path, json=body, headers={"Origin": "http://127.0.0.1:8420", "X-Board-Token": token} | headers)


def until(what: Callable[[], Any], seconds: float = 150) -> Any:
    """What it comes to; a test that hangs is told apart from one that waits."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("it never came")


# reading --------------------------------------------------------------------------------------------------------------------------


def test_what_a_run_is_doing(folder: Path) -> None:
    here = {"host": platform.node(), "pid": os.getpid(), "since": time.time()}
    fake(folder, "done")
    fake(folder, "old", state=None)
    fake(folder, "at-work", state="running", **here)
    fake(folder, "far", state="running")
    fake(folder, "killed", state="running", **here | {"since": 1000.0})  # whoever has that number now was born later
    fake(folder, "broken", state="failed", error="the term 'soft' is nan")
    (fake(folder, "begun", state=None) / "findings.json").unlink()
    seen = rows(client(folder))
    assert {k: v["state"] for k, v in seen.items()} == {
        "done": "finished", "old": "finished", "at-work": "running", "far": "running", "killed": "killed", "broken": "failed", "begun": "stopped"}  # fmt: skip
    assert seen["far"]["host"] == "elsewhere"
    assert seen["broken"]["error"] == "the term 'soft' is nan"
    assert (seen["at-work"]["step"], seen["at-work"]["steps"], seen["at-work"]["valid"]) == (40, 40, 0.89)
    done = seen["done"]
    assert (done["score"], done["teacher_score"], done["kept"], done["parameters"], done["latency"]) == (
        0.9,
        0.98,
        0.9 / 0.98,
        6000,
        0.1,
    )
    assert done["share"] and done["report"]


def test_language_models_are_judged_by_perplexity() -> None:
    found = {"heard": {"student": {"nll": 2.0, "parameters": 10, "bytes": 40, "speed": 500.0, "accuracy": 0.5, "calibration": 0.1}, "teacher": {"nll": 1.0}}, "divergence": 0.3}  # fmt: skip
    row = reading.outcome(found)
    assert row["score"] == pytest.approx(7.389, abs=1e-3)
    assert (row["kept"], row["latency"], row["down"], row["task"]) == (pytest.approx(0.3679, abs=1e-4), 2.0, True, "lm")
    assert {"perplexity", "accuracy", "calibration error", "time a token"} <= {
        name for name, _, _ in reading.measures(row, found)
    }


@pytest.mark.parametrize("name", ["config.json", "state.json", "findings.json", "metrics.jsonl"])
@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"config": 3, "state": [], "student": "x", "pid": "x", "heard": 1}', '{"phase": 1}\nNaN\n{"phase": "student", "step": 1e999, "valid": NaN}', "[" * 100_000])  # fmt: skip
def test_whatever_a_file_holds_the_others_are_shown(folder: Path, name: str, text: str) -> None:
    fake(folder, "good")
    (fake(folder, "odd") / name).write_text(text)
    page = client(folder)
    assert rows(page)["good"]["state"] == "finished"
    if "odd" in rows(page):
        assert "NaN" not in page.get("/api/beside?run=odd&run=good").text
    (folder / "odd" / name).write_text((folder / "good" / name).read_text())
    assert rows(client(folder))["odd"]["state"] == "finished"


def test_points_are_read_as_they_come(tmp_path: Path) -> None:
    points = reading.Points(tmp_path / "metrics.jsonl")
    assert points.look() == []
    with points.path.open("a") as f:
        f.write('{"phase": "student", "step": 0, "loss": 2}\n{"phase": "student", "st')
        f.flush()
        assert [p["step"] for p in points.look()] == [0]
        f.write('ep": 1, "valid": 0.5}\n')
    assert [p["step"] for p in points.look()] == [0, 1]
    assert points.last("student") == {"step": 1, "valid": 0.5}
    again = tmp_path / "again"
    again.write_text('{"phase": "student", "step": 7, "loss": 1}\n')
    again.replace(points.path)  # as a run does that goes on
    assert [p["step"] for p in points.look()] == [7]
    assert reading.series(points.points) == {"student": {"loss": [[7], [1]]}}


def test_what_did_not_change_is_neither_read_nor_sent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "sweep/c"):
        path = fake(folder, name)
        os.utime(path, (1e9, 1e9))
    (folder / "teachers").mkdir()
    hub = folder / "hub"
    hub.mkdir()
    (hub / "config.json").write_text('{"model_type": "llama"}')  # a model's, not a run's
    page = client(folder)
    first = page.get("/api/runs")
    assert {r["id"] for r in first.json()["runs"]} == {"a", "b", "sweep/c"}
    at = f"/api/runs?epoch={first.json()['epoch']}&since={first.json()['version']}"
    index = page.app.state.index  # type: ignore[attr-defined]
    with monkeypatch.context() as m:
        m.setattr(Path, "read_bytes", lambda _: pytest.fail("a file was read"))
        for _ in range(3):
            index.look(now=True)
        assert page.get(at, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    (folder / "a" / "state.json").unlink()
    (folder / "a" / "findings.json").unlink()
    shutil.rmtree(folder / "b")
    index.look(now=True)
    news = page.get(at, headers={"If-None-Match": first.headers["ETag"]}).json()
    assert [(r["id"], r["state"]) for r in news["runs"]] == [("a", "stopped")]
    assert (news["gone"], news["whole"]) == (["b"], False)
    assert page.get("/api/runs?epoch=another&since=99").json()["whole"]


def test_beside_one_another(folder: Path) -> None:
    fake(folder, "a", seed=1)
    fake(folder, "b", seed=2, score=0.8)
    both = client(folder).get("/api/beside?run=a&run=b").json()
    assert [(s["name"], s["values"]) for s in both["settings"] if s["differs"]] == [("training.seed", [1, 2])]
    measured = {m["name"]: m["values"] for m in both["measures"]}
    assert measured["accuracy"] == [0.9, 0.8]
    assert measured["calibration error"] == [0.02, 0.02]
    assert both["curves"][1]["student"]["valid"] == [[40], [0.79]]
    assert client(folder).get("/api/beside?run=a&run=nobody").status_code == 422


# whom it answers ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8420", "127.0.0.1.evil.example", "127.0.0.1:8420@evil.example", "", "[::2]:8420", "localhost:x"])  # fmt: skip
def test_another_name_for_this_machine_is_refused(folder: Path, host: str) -> None:
    answer = client(folder).get("/api/runs", headers={"Host": host})
    assert answer.status_code == 421
    assert "runs" not in answer.text


@pytest.mark.parametrize(
    "path", ["/", "/api/runs", "/api/methods", "/static/board.js", "/plotly.js", "/runs/a/report", "/runs/a/files/config.toml"]
)
def test_who_has_no_key_sees_nothing(folder: Path, path: str) -> None:
    fake(folder, "a")
    assert client(folder, key="another").get(path).status_code == 403
    stranger = client(folder)
    stranger.cookies.clear()
    assert stranger.get(path).status_code == 403
    assert stranger.get("/api/runs?key=" + KEY).status_code == 403
    let_in = stranger.get("/?key=" + KEY)
    assert (let_in.status_code, let_in.headers["location"]) == (303, "/")
    assert {"httponly", "samesite=lax"} <= {part.strip().lower() for part in let_in.headers["set-cookie"].split(";")}


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:9999"}, {"Origin": "https://127.0.0.1:8420"}, {"X-Board-Token": ""},
     {"X-Board-Token": "guess"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Content-Type": "text/plain"}],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/api/start", "/api/stop", "/api/resume", "/api/dismiss"])
def test_only_the_page_itself_may_start_and_stop(folder: Path, path: str, headers: dict[str, str]) -> None:
    page = client(folder, program=(sys.executable, "-c", "raise SystemExit(pytest)"))
    assert post(page, path, {}, **headers).status_code in (403, 415)
    assert not folder.exists()
    assert page.get(path).status_code == 405
    assert page.delete(path).status_code == 405


def test_what_is_sent_can_do_nothing_else(folder: Path) -> None:
    fake(folder, "a")
    page = client(folder)
    headers = page.get("/").headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "frame-ancestors 'none'" in policy
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
    report = page.get("/runs/a/report")
    assert report.text.endswith("</script>")
    policy = report.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts allow-popups; default-src 'none'")
    assert "allow-same-origin" not in policy and "connect-src" not in policy
    assert page.get("/runs/a/files/metrics.jsonl").headers["content-disposition"].startswith("attachment")


def test_no_page_asks_anybody_else() -> None:
    for path in server.HERE.rglob("*.*"):
        if path.suffix in (".js", ".css", ".j2"):
            text = path.read_text()
            assert "http://" not in text and "https://" not in text and "//cdn" not in text, path.name
            assert "innerHTML" not in text and "eval(" not in text and "document.write" not in text, path.name


@pytest.mark.parametrize("path", ["/runs/../secret/report", "/runs/%2e%2e/secret/report", "/runs/a/../../secret/report", "/runs//etc/report", "/runs/a/files/..%2f..%2fsecret.txt",
                                  "/runs/a/files/state.json", "/runs/link/report", "/static/..%2fserver.py", "/static/%2e%2e/server.py", "/runs/a/output"])  # fmt: skip
def test_nothing_outside_the_runs_is_served(folder: Path, path: str) -> None:
    fake(folder, "a")
    secret = folder.parent / "secret"
    secret.mkdir()
    (secret / "report.html").write_text("secret")
    (folder.parent / "secret.txt").write_text("secret")
    link = fake(folder, "link")
    (link / "report.html").unlink()
    (link / "report.html").symlink_to(secret / "report.html")
    answer = client(folder).get(path)
    assert answer.status_code in (404, 422)
    assert "secret" not in answer.text.replace("../secret", "")


# starting and stopping ------------------------------------------------------------------------------------------------------------


def test_the_form_is_a_command() -> None:
    wish = Wish(
        teacher="hf:./big one", student="--force", method="dkd", epochs=3, lr=0.1, alone=False, sets=["t=2", "--config=x"]
    )
    words = launch.words(wish, Path("runs"), "x")
    assert words == ["distill", "--teacher=hf:./big one", "--student=--force", "--method=dkd", "--epochs=3", "--lr=0.1", "--no-alone", "--set=t=2", "--set=--config=x",
                     "--folder=runs", "--run-id=x"]  # fmt: skip
    assert launch.spelled(words).startswith("understudy distill '--teacher=hf:./big one' --student=--force")
    assert launch.NAME.fullmatch(launch.named(Wish(method="../x")))


@pytest.mark.parametrize("body", [{"name": "../x"}, {"name": "a/b"}, {"name": ".hidden"}, {"name": "taken"}, {"teacher": "a\x00b"}, {"teacher": "a\nb"}, {"sets": ["a\nb"]},
                                  {"epochs": "many"}, {"folder": "/tmp"}, {"teacher": "x" * 2000}, []])  # fmt: skip
def test_what_is_no_command_is_refused(folder: Path, body: Any) -> None:
    fake(folder, "taken")
    page = client(folder, program=(sys.executable, "-c", "open('started', 'w')"))
    answer = post(page, "/api/start", body)
    assert answer.status_code == 422
    assert answer.json()["error"]
    assert sorted(p.name for p in folder.iterdir()) == ["taken"]


def test_a_run_that_never_begins_says_why(folder: Path) -> None:
    page = client(folder, program=(sys.executable, "-c", "print('\\n✘ kd.t=0 is not allowed'); raise SystemExit(2)"))
    name = post(page, "/api/start", {"teacher": BAD}).json()["run"]
    row = until(lambda: (r := rows(page)[name])["state"] == "refused" and r)
    assert (row["error"], row["teacher"]) == ("kd.t=0 is not allowed", BAD)
    assert "✘ kd.t=0" in page.get(f"/runs/{name}/output").text
    assert post(page, "/api/stop", {"run": name}).status_code == 422
    assert post(page, "/api/dismiss", {"run": name}).status_code == 200
    assert rows(page) == {}


def test_one_that_is_starting_can_be_stopped_and_one_that_rests_goes_on(folder: Path) -> None:
    fake(folder, "rests", state="stopped", since=1000.0)
    page = client(folder, program=(sys.executable, "-c", "import sys, time; print(sys.argv[1:], flush=True); time.sleep(600)"))
    new = post(page, "/api/start", {}).json()["run"]
    assert post(page, "/api/resume", {"run": "rests"}).status_code == 200
    assert {v["state"] for v in rows(page).values()} == {"starting"}
    assert post(page, "/api/resume", {"run": "rests"}).status_code == 422  # once is enough
    until(lambda: str(["resume", str(folder / "rests")]) in page.get("/runs/rests/output").text)
    until(lambda: "distill" in page.get(f"/runs/{new}/output").text)
    assert post(page, "/api/stop", {"run": new}).status_code == post(page, "/api/stop", {"run": "rests"}).status_code == 200
    assert until(lambda: rows(page).keys() == {"rests"} and rows(page)["rests"]["state"] == "stopped")


def test_nobody_else_is_stopped(folder: Path) -> None:
    """A process that has the number which a run wrote down, and isn't that run."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        until(lambda: psutil.Process(other.pid).create_time())
        fake(folder, "mine", state="running", host=platform.node(), pid=other.pid, since=time.time())
        fake(folder, "older", state="running", host=platform.node(), pid=other.pid, since=time.time() - 3600)
        fake(folder, "me", state="running", host=platform.node(), pid=os.getpid(), since=time.time())
        page = client(folder)
        assert {k: r["state"] for k, r in rows(page).items()} == {"mine": "running", "older": "killed", "me": "running"}
        for name in ("mine", "older", "me", "nobody", "../x"):
            assert post(page, "/api/stop", {"run": name}).status_code == 422
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_ctrl_c_saves_where_it_stands_and_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(understudy.publish, "export_onnx", lambda *_: 0.0)
    monkeypatch.setattr(understudy.report.html, "write_report", lambda *_: None)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    child.job("begin", whole, KD, "sgd").run()
    said: list[str] = []

    def bar(phase: str, step: int, _: int) -> None:
        if (phase, step) == ("student", 4):  # a checkpoint comes at every third step
            said.append(json.loads((broken / "run" / "state.json").read_text())["state"])
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        child.job("begin", broken, KD, "sgd").run(bar=bar)
    assert signal.getsignal(signal.SIGINT) == before
    assert checkpoint.found(broken / "run" / "checkpoints" / "student")[-1].stem == "step-000000005"
    about = json.loads((broken / "run" / "state.json").read_text())
    assert (said, about["state"], about["phase"]) == (["running"], "stopped", "student")
    child.job("resume", broken, KD, "sgd").run()
    assert json.loads((broken / "run" / "state.json").read_text())["state"] == "finished"
    for name in ("metrics.jsonl", "student.safetensors"):
        assert (whole / "run" / name).read_bytes() == (broken / "run" / name).read_bytes()


def test_a_port_that_is_taken_is_refused_by_name() -> None:
    with server.listen(0, 0) as s:
        assert s.getsockname()[0] == "127.0.0.1"
        with pytest.raises(Refused, match="--port"):
            server.listen(s.getsockname()[1], 0)
        with server.listen(None, s.getsockname()[1]) as other:
            assert other.getsockname()[1] != s.getsockname()[1]


# in a browser ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        running = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def served(folder: Path) -> Iterator[str]:
    """The address of the board, with its key."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(server.create_app(folder, key=KEY), log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [s]})
    thread.start()
    until(lambda: running.started)
    yield f"http://127.0.0.1:{s.getsockname()[1]}/?key={KEY}"
    running.should_exit = True
    thread.join()


class Seen:
    """A page, and everything that went wrong on it or was asked of anybody else."""

    def __init__(self, browser: Any, address: str, **how: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | how)
        self.page, self.address, self.wrong = self.context.new_page(), address.partition("?")[0], list[str]()
        self.page.set_default_timeout(150_000)
        self.statuses: list[int] = []
        self.page.on("pageerror", lambda e: self.wrong.append(str(e)))
        self.page.on("dialog", lambda d: self.wrong.append(f"a dialog: {d.message}"))
        self.page.on("console", lambda m: self.wrong.append(m.text) if m.type == "error" else None)
        self.page.on("request", lambda r: None if r.url.startswith((self.address, "data:")) else self.wrong.append(r.url))
        self.page.on("response", lambda r: self.statuses.append(r.status) if "/api/runs" in r.url else None)
        self.page.goto(address)
        self.page.wait_for_selector("main[data-ready]")

    def at(self, view: str) -> Any:
        self.page.goto(f"{self.address}#/{view}")
        return self.page

    def first(self, what: str = "") -> str:
        return str(
            self.page.locator("#runs tbody tr").first.locator(what).inner_text()
            if what
            else self.page.locator("#runs tbody tr").first.inner_text()
        )


@pytest.fixture
def look(browser: Any, served: str) -> Iterator[Callable[..., Seen]]:
    made: list[Seen] = []

    def look(**how: Any) -> Seen:
        made.append(Seen(browser, served, **how))
        return made[-1]

    yield look
    wrong = [w for seen in made for w in seen.wrong]
    for seen in made:
        seen.context.close()
    assert wrong == []


FOCUSED = "() => { const e = document.activeElement; return e.id || e.dataset.key || e.dataset.sort || e.dataset.view || e.className || e.tagName; }"


def test_start_one_watch_it_and_stop_it(folder: Path, look: Callable[..., Seen]) -> None:
    seen = look()
    page = seen.page
    page.get_by_text("No runs yet").wait_for()
    page.get_by_role("button", name="Start a run").click()
    for name, value in {"Teacher": "tiny-cnn", "Student": "tiny-mlp", "Epochs": "9000", "Rows at most": "100", "Name": "first",
                        "More settings, NAME=VALUE, one a line": "t=2\nteacher_training.epochs=1"}.items():  # fmt: skip
        page.get_by_label(name, exact=True).fill(value)
    page.get_by_label("Also train the student").uncheck()
    page.get_by_text("--set=t=2").wait_for()
    page.get_by_role("button", name="Start", exact=True).click()
    page.locator("#runs .running").wait_for()
    about = json.loads((folder / "first" / "state.json").read_text())
    assert json.loads((folder / "first" / "config.json").read_text())["config"]["method"] == {"name": "kd", "a": 0.9, "t": 2.0}
    was = until(lambda: page.evaluate("document.querySelector('#runs progress')?.value"))
    until(lambda: page.evaluate("document.querySelector('#runs progress').value") > was)
    page.get_by_role("link", name="first", exact=True).click()
    until(lambda: page.evaluate("document.querySelectorAll('#view-compare .plot path.js-line').length >= 3"))
    page.locator("#view-compare").get_by_role("button", name="Stop first").click()
    page.locator("#view-compare .stopped").wait_for()
    kept = json.loads((folder / "first" / "state.json").read_text())
    assert (kept["state"], kept["pid"]) == ("stopped", about["pid"])
    assert checkpoint.found(folder / "first" / "checkpoints" / "student")
    until(lambda: not psutil.pid_exists(about["pid"]) or psutil.Process(about["pid"]).status() == psutil.STATUS_ZOMBIE)
    page.get_by_role("button", name="Go on with first").wait_for()


def test_compare_two_and_open_a_report(folder: Path, look: Callable[..., Seen]) -> None:
    fake(folder, "a", seed=1)
    fake(folder, "b", score=0.95, parameters=60_000)
    fake(folder, f"c {BAD.replace('/', '')}", method=BAD)
    seen = look()
    page = seen.page
    assert page.locator("#runs tbody tr").count() == 3
    assert page.locator("#runs img").count() == 0
    page.get_by_label("Choose a to compare").check()
    page.get_by_label("Choose b to compare").check()
    page.get_by_role("link", name="Compare", exact=True).last.click()
    until(
        lambda: page.evaluate("document.querySelectorAll('#view-compare .plot path.js-line').length >= 4")
    )  # two losses of two runs
    differing = page.locator("section.card", has_text="Settings that differ").locator("table").first
    assert [c.split() for c in differing.locator("tbody tr").all_inner_texts()] == [["training.seed", "1", "0"]]
    assert "90.0 %" in page.locator("section.card", has_text="Measured on the test rows").inner_text()
    with page.expect_popup() as popup:
        page.get_by_role("link", name="Report of a").click()
    report = popup.value
    until(lambda: report.title() == "Report drawn")
    assert report.evaluate("origin") == "null"
    assert report.evaluate("fetch('/api/runs').then(() => 'answered', () => 'refused')") == "refused"
    report.close()
    seen.at("frontier")
    until(lambda: page.evaluate("document.querySelectorAll('#plot-frontier .point').length >= 3"))
    assert page.locator("#best a").all_inner_texts() == ["a", "b"] or page.locator("#best a").count() == 3


def test_with_the_keyboard_alone(folder: Path, look: Callable[..., Seen]) -> None:
    for name in ("a", "b", "c"):
        fake(folder, name)
    page = look().page
    press = page.keyboard.press
    press("Tab")
    assert page.evaluate(FOCUSED) == "skip"
    press("Enter")
    assert page.evaluate(FOCUSED) == "main"
    press("/")
    assert page.evaluate(FOCUSED) == "q"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.type("kd b")
    assert page.locator("#runs tbody tr").count() == 1
    press("Escape")
    assert page.locator("#runs tbody tr").count() == 3
    order = []
    while "pick" not in order:
        press("Tab")
        order.append(page.evaluate(FOCUSED))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", order
        assert len(order) < 40
    assert order == ["f-state", "f-method", "f-data", "f-task", "clear", "id", "state", "method", "data", "score", "kept", "parameters", "bytes", "latency", "began", "pick"]  # fmt: skip
    press("Space")
    press("ArrowDown")
    press("Space")
    assert page.locator("#runs input:checked").count() == 2
    assert page.evaluate(FOCUSED) == "pick"
    page.locator("#compare").focus()
    press("Enter")
    page.locator("#view-compare .cast > div").nth(1).wait_for()
    page.locator("#new").focus()
    press("Enter")
    page.locator("dialog[open]").wait_for()
    assert page.evaluate(FOCUSED) == "w-teacher"
    press("Escape")
    page.locator("dialog[open]").wait_for(state="detached")
    assert page.evaluate(FOCUSED) == "new"


NAMELESS = """() => [...document.querySelectorAll('button, a, input, select, textarea, [role=img], progress')].filter(e => !(e.labels?.length || e.getAttribute('aria-label')
    || e.getAttribute('aria-labelledby') || e.textContent.trim())).map(e => e.outerHTML)"""


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_narrow_screen(folder: Path, look: Callable[..., Seen], dark: bool) -> None:
    fake(
        folder,
        "2026-11-21-093000-a-rather-long-name-of-a-run-on-rows",
        data="csv:./a/folder/that/lies/deep/customers.csv?target=churn",
    )
    fake(folder, "b", state="running", pid=1, first=0)
    fake(folder, "c", state="failed", error="the term 'soft' of 'kd' is nan: " + "x" * 300)
    seen = look(viewport={"width": 390, "height": 844}, color_scheme="dark" if dark else "light", has_touch=True)
    page = seen.page
    for view in ("runs", "frontier", "compare?run=b&run=c&run=2026-11-21-093000-a-rather-long-name-of-a-run-on-rows"):
        seen.at(view)
        page.locator(f"#view-{view.partition('?')[0]}:visible").wait_for()
        if view != "runs":
            page.locator(".plot path").first.wait_for(state="attached")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, view
        assert page.evaluate(NAMELESS) == []
    page.get_by_role("button", name="Start a run").click()
    assert page.evaluate("document.querySelector('dialog').scrollWidth <= document.querySelector('dialog').clientWidth")
    light = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number).reduce((a, b) => a + b) > 380"
    )
    assert light is not dark


def test_a_thousand_runs(folder: Path, look: Callable[..., Seen]) -> None:
    many(folder, 1000)
    seen = look()
    page = seen.page
    page.get_by_text("1,000 runs").wait_for()
    assert page.locator("#runs tbody tr").count() == 50
    page.get_by_role("button", name="Next").click()
    assert page.locator("#where").inner_text() == "page 2 of 20"
    page.get_by_role("button", name="Score").click()
    scores = [float(s.split()[0]) for s in page.locator("#runs td[data-label=accuracy]").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    page.locator("#f-method").select_option("dkd")
    page.get_by_text("250 of 1,000 runs").wait_for()
    page.locator("#q").fill("digits-0001")
    assert page.locator("#runs tbody tr").count() == 1
    asked = len(seen.statuses)
    until(lambda: page.wait_for_timeout(100) or len(seen.statuses) > asked + 1)
    assert set(seen.statuses[asked + 1 :]) == {304}  # nothing changed, nothing is sent


def test_the_command(folder: Path) -> None:
    fake(folder, "a")
    p = subprocess.Popen([sys.executable, "-m", "understudy", "board", str(folder), "--port", "0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    try:
        assert p.stderr is not None
        line = p.stderr.readline()
        host, port = line.partition("http://")[2].partition("/")[0].split(":")
        with socket.create_connection((host, int(port))) as s:
            s.sendall(f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            assert s.recv(100).startswith(b"HTTP/1.1 403")
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=60)
    finally:
        p.kill()
    assert p.returncode == 0, err
    assert json.loads(out)["folder"] == str(folder)


def test_the_index_needs_no_torch() -> None:
    code = "import sys, understudy.board.server; raise SystemExit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_empty_folder_is_no_error(folder: Path) -> None:
    assert Index(folder).changes()["runs"] == []
