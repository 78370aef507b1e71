"""A key comes from the environment, goes to the endpoint, and is nowhere else: whatever fails, whatever is written, whoever asks."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from integration.endpoint import serve
from integration.speakers import texts
from integration.test_overheard import behind, config, place  # noqa: F401 (a fixture)
from understudy.cli import app
from understudy.core.errors import Refused
from understudy.job import plan
from understudy.teachers.remote import Client, Remote, from_address

KEY, CANARY = "UNDERSTUDY_CANARY_KEY", "sk-canary/7f3a+Sesame=="
HELLO = [{"role": "user", "content": "hello"}]
ECHO = CANARY.encode()
FAULTS: list[Any] = [
    401, 403, 429, 500, 503, 302, "cut", "half", "drop", "noise", b"", b"\xff\xfe", b"[" * 100_000, b"wrong key: " + ECHO, b"<html>" + ECHO * 20, ECHO[:15], b'{"error": "' + ECHO + b'"}',
    (401, {"WWW-Authenticate": f"Bearer {CANARY}"}, b"you sent " + ECHO), (500, {"Retry-After": CANARY}, b" " * 1990 + ECHO), (429, {}, json.dumps({"error": CANARY}).replace("/", "\\/").encode()),
    (400, {"X-Key": CANARY}, ECHO + b" isn't one"), (404, {}, ECHO[:12]), (302, {"Location": f"http://127.0.0.1:9/?key={CANARY}"}, ECHO),
    json.dumps({"choices": [{"message": {"content": CANARY}}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}, "key": CANARY}).encode(),
    json.dumps({"choices": [{"message": {"content": CANARY}}]}).replace("s", "\\u0073").encode(), json.dumps({"choices": CANARY}).encode(), json.dumps([CANARY]).encode(),
]  # fmt: skip


@pytest.fixture(autouse=True)
def given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, CANARY)


def leaks(said: str | bytes) -> bool:
    """The key, a half of it, or another spelling."""
    data = said.encode("utf-8", "surrogateescape") if isinstance(said, str) else said
    forms = (
        ECHO,
        ECHO[:12],
        ECHO[-12:],
        base64.b64encode(ECHO)[:20],
        ECHO.replace(b"/", b"\\/"),
        ECHO.replace(b"/", b"%2F").replace(b"+", b"%2B"),
    )
    return any(f in data for f in forms)


def written(*folders: Path) -> list[str]:
    """Files in which it is, or whose names hold it."""
    return [str(p) for folder in folders for p in folder.rglob("*") if leaks(str(p)) or (p.is_file() and leaks(p.read_bytes()))]


def test_a_leak_would_be_seen(tmp_path: Path) -> None:
    assert not leaks(KEY) and leaks(f"x{CANARY}y") and leaks(CANARY[:13]) and leaks(json.dumps(CANARY).replace("/", "\\/"))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text(CANARY)
    assert written(tmp_path) == [str(tmp_path / "a" / "b")]


@pytest.mark.parametrize("fault", range(len(FAULTS)))
def test_whatever_fails_it_is_not_told(fault: int, tmp_path: Path, capfd: Any) -> None:
    with serve(lambda *_: "five", *[FAULTS[fault]] * 2) as point:
        c = Client(point.url, "tiny", key=KEY, cache=tmp_path / "cache", retries=1, sleep=lambda _: None)
        said = [repr(c), str(c), repr(vars(c)), repr(Remote(point.url, "tiny", list, float, key=KEY))]  # type: ignore[arg-type]
        try:
            said += [repr(c.write(HELLO))]
        except Exception as e:
            said += [repr(e), *traceback.format_exception(e), repr(e.__cause__), repr(e.__context__), repr(e.args)]
        assert point.headers[0]["Authorization"] == f"Bearer {CANARY}", "where it belongs"
        said += [str(c.spent), repr(vars(c))]
    said += capfd.readouterr()
    assert [s for s in said if leaks(s)] == []
    assert written(tmp_path) == []


def test_a_server_that_sends_the_reader_elsewhere_is_not_followed(tmp_path: Path) -> None:
    with (
        serve(lambda *_: "elsewhere") as other,
        serve(
            lambda *_: "five", (302, {"Location": other.url}), (307, {"Location": other.url}), (308, {"Location": other.url})
        ) as point,
    ):
        for _ in range(3):
            with pytest.raises(Refused):
                Client(point.url, "tiny", key=KEY, retries=0).write(HELLO)
        assert not other.asked


@pytest.mark.parametrize("url", ["http://user:{key}@127.0.0.1:9", "http://{key}@127.0.0.1:9", "http://:{key}@127.0.0.1:9", "http://user:@127.0.0.1:9/{key}", "https://127.0.0.1/?key={key}", "https://127.0.0.1/#{key}",
                                 "http://127.0.0.1/v1?api_key={key}#x", "http://127.0.0.1 {key}/", "ftp://x:{key}@h"])  # fmt: skip
def test_a_key_in_an_address_is_refused_and_not_repeated(url: str) -> None:
    secret = "sk-canary7f3aSesame"
    for make in (lambda u: Client(u, "tiny"), lambda u: from_address(f"openai:{u}")):
        with pytest.raises(Refused) as e:
            make(url.format(key=secret))
        if not url.endswith("9/{key}"):  # a path is a path
            assert secret not in str(e.value)


@pytest.mark.parametrize(
    "address",
    [
        "openai:http://h?model=x&key=sk-canary7f3aSesame",
        "openai:http://h?model=x&api_key=sk-canary7f3aSesame",
        "openai:http://h?key=sk-canary7f3aSesame&&x",
    ],
)
def test_a_key_in_its_names_place_is_not_repeated_by_any_command(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n' * 30)
    lm = ("--task", "lm", "--data", "jsonl:rows.jsonl", "--student", "hf:./nowhere")
    for command in (("write", "--teacher", address, "--data", "rows.jsonl", "--out", "out.jsonl"), ("distill", "--teacher", address), ("distill", "--teacher", address, *lm),
                    ("label", "--teacher", address, *lm, "--out", "store"), ("eval", address), ("doctor", "--teacher", address)):  # fmt: skip
        told = CliRunner().invoke(app, list(command), prog_name="understudy")
        assert told.exit_code == 2, (command, told.output)
        assert "canary7f3a" not in told.output, command
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"canary7f3a" in p.read_bytes()]


def test_a_whole_run_leaves_it_nowhere(place: Path, tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Configuration, report, card, metrics, tracker, checkpoints, kept answers and the log, through a server that fails at first."""
    monkeypatch.chdir(tmp_path)
    with serve(behind(place), (500, {}, ECHO), b"key " + ECHO, 429, "half") as point:
        settings = config(place, tmp_path, point.url, track=["tensorboard"])
        settings = type(settings)(
            **{**{f: getattr(settings, f) for f in settings.__dataclass_fields__}, "teacher": f"{settings.teacher}&key={KEY}"}
        )
        job = plan(settings).run()
        assert all(h["Authorization"] == f"Bearer {CANARY}" for h in point.headers)
    said = "".join(capfd.readouterr())
    assert not leaks(said)
    assert written(tmp_path) == []
    names = {p.name for p in tmp_path.rglob("*")}
    assert {"config.json", "report.html", "README.md", "metrics.jsonl", "state.json", "findings.json"} <= names
    assert any(n.startswith("events.out") for n in names)
    assert KEY in (job.folder / "config.json").read_text(), "its name is"


def test_a_process_shows_it_to_nobody(tmp_path: Path) -> None:
    """A command of its own: its title, what it prints with a traceback, what it leaves."""
    folder = texts(tmp_path / "rows", 4)
    with serve(lambda *_: "five", (401, {}, ECHO), *[0.4] * 3) as point:
        address = f"openai:{point.url}?model=tiny&key={KEY}&wait=0&retries=0&cache={tmp_path / 'cache'}"
        words = [
            sys.executable,
            "-m",
            "understudy",
            "write",
            "--teacher",
            address,
            "--data",
            str(folder / "chats.jsonl"),
            "--out",
            str(tmp_path / "out.jsonl"),
            "--traceback",
        ]
        p = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"}, cwd=tmp_path
        )
        titles = []
        while p.poll() is None:
            try:
                titles += [Path(f"/proc/{p.pid}/cmdline").read_bytes()]
            except OSError:
                break
            time.sleep(0.2)
        said = p.communicate()[0]
    assert p.returncode == 2, said.decode()
    assert b"Traceback" in said
    assert b"***" in said, "the server repeated it"
    assert not leaks(said)
    assert titles
    assert not any(map(leaks, titles))
    assert written(tmp_path) == []
