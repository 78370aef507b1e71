"""A server that may be anything: nothing it does is paid for twice, taken for an answer when it is none, or waited for without end."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from integration.endpoint import LanguageModel, Speaker, serve
from understudy.core.errors import Refused
from understudy.teachers import remote as remotes
from understudy.teachers import wire
from understudy.teachers.logprobs import NoLogprobs, judged, written
from understudy.teachers.overheard import Overheard
from understudy.teachers.remote import Client, from_address
from understudy.teachers.spending import Budget, Ledger, locked

HELLO = [{"role": "user", "content": "hello"}]
MODEL = LanguageModel()


def client(url: str, **how: Any) -> Client:
    return Client(url, "tiny", **({"retries": 3, "sleep": lambda _: None, "max_tokens": 16} | how))


# faults --------------------------------------------------------------------------------------------------------------------------

FAULTS: dict[str, Any] = {
    "429": 429, "429, later": (429, {"Retry-After": "3"}), "429, never": (429, {"Retry-After": "-1"}), "429, no number": (429, {"Retry-After": "²"}), "500": 500, "503": 503,
    "garbage": b"\x00\xff\xfe", "page": b"<html>busy</html>", "nothing": b"", "half of JSON": "cut", "closed in the body": "half", "closed at once": "drop", "no HTTP": "noise",
    "deep": b"[" * 100_000, "huge number": b"9" * 5000,
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_asked_again_and_paid_once(fault: str, tmp_path: Path) -> None:
    slept: list[float] = []
    with serve(lambda *_: "five", FAULTS[fault], FAULTS[fault]) as point:
        c = client(point.url, cache=tmp_path, sleep=slept.append)
        assert c.write(HELLO).text == "five"
        assert (len(point.asked), len(slept)) == (3, 2)
        assert all(a == point.asked[0] for a in point.asked)
        assert client(point.url, cache=tmp_path).write(HELLO).text == "five"
        assert len(point.asked) == 3
        assert c.spent == client(point.url, cache=tmp_path).spent
        assert c.spent.requests == 3
    assert slept == ([3, 3] if fault == "429, later" else [1, 2])


def test_pauses_end_with_a_minute_however_often(tmp_path: Path) -> None:
    slept: list[float] = []
    with serve(lambda *_: "five", *[503] * 12) as point:
        assert client(point.url, retries=10**9, wait=1.0, sleep=slept.append).write(HELLO).text == "five"
    assert slept == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60]
    with serve(lambda *_: "five", 503) as point:
        assert client(point.url, wait=90.0, sleep=slept.append).write(HELLO).text == "five"
    assert slept[-1] == 90, "who asks for more gets more"


def test_a_budget_ends_retries(tmp_path: Path) -> None:
    with serve(lambda *_: "five", *[503] * 9) as point:
        with pytest.raises(Refused, match="the limit is 4 requests"):
            client(point.url, retries=8, budget=Budget(requests=4)).write(HELLO)
        assert len(point.asked) == 4


def test_it_dies_and_comes_back() -> None:
    with serve(lambda *_: "five", *["drop"] * 3) as point:
        url = point.url
        assert client(url).write(HELLO).text == "five"
        assert len(point.asked) == 4
    with pytest.raises(Refused, match=r"4 times\); is the server running"):
        client(url).write(HELLO, 1)


@pytest.mark.parametrize("length", [None, 10**15, -1])
def test_a_body_without_end_is_not_read_to_it(length: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MOST", 2**20)
    head = "HTTP/1.1 200 OK\r\nConnection: close\r\n" + ("" if length is None else f"Content-Length: {length}\r\n") + "\r\n"
    with (
        raw(head.encode(), b"[" * 2**16, times=10**6) as (url, sent),
        pytest.raises(Refused, match="an answer of at most 1048576 bytes"),
    ):
        client(url).write(HELLO)
    assert sum(sent) < 2**24


@contextlib.contextmanager
def raw(first: bytes, then: bytes = b"", *, times: int = 0, pause: float = 0.0) -> Iterator[tuple[str, list[int]]]:
    """A server that says this to whoever comes, again and again; how many bytes it got rid of."""
    door, sent, over = socket.create_server(("127.0.0.1", 0)), list[int](), threading.Event()

    def speak() -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = door.accept()
                with line, contextlib.suppress(OSError):
                    line.recv(2**16)
                    for piece in (first, *(then for _ in range(times))):
                        line.sendall(piece)
                        sent.append(len(piece))
                        if over.wait(pause) if pause else over.is_set():
                            break

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{door.getsockname()[1]}", sent
    finally:
        over.set()
        door.shutdown(socket.SHUT_RDWR)
        door.close()
        thread.join()


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"H", b"T"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
)
def test_an_answer_that_drips_has_no_more_time_than_another(first: bytes, then: bytes) -> None:
    """Each byte comes before a socket would give up; all of it never does."""
    with (
        raw(first, then, times=10**6, pause=0.02) as (url, sent),
        pytest.raises(Refused, match="timed out|Got more than|LineTooLong"),
    ):
        client(url, timeout=0.3, retries=0).write(HELLO)
    assert len(sent) < 100


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        7,
        None,
        "x",
        {"choices": {}},
        {"choices": [{"message": {"content": 7}}]},
        {"error": {"message": "no"}},
        {"choices": [{"message": None}]},
    ],
)
def test_an_answer_of_another_shape_is_refused_at_once_and_not_kept(answer: Any, tmp_path: Path) -> None:
    said = json.dumps(answer).encode()
    with serve(lambda *_: "five", said) as point:
        c = client(point.url, cache=tmp_path)
        with pytest.raises(Refused, match="choices.0..message.content") as e:
            c.write(HELLO)
        assert len(str(e.value)) < 400 and len(point.asked) == 1 and not list(tmp_path.glob("*.json"))
        assert c.spent.requests == 1, "it may have been paid for"
        assert c.write(HELLO).text == "five"


def test_words_of_a_server_are_safe_on_a_terminal() -> None:
    for said in (b"\x1b]0;owned\x07\x1b[2Jgone", "\u202eevil\u2066".encode(), b"a\x00b\rc\nd"):
        for fault in (said, (404, {}, said), (500, {}, said)):
            with serve(lambda *_: "five", fault) as point, pytest.raises(Refused) as e:
                client(point.url, retries=0).write(HELLO)
            assert str(e.value).isprintable()


# what is kept --------------------------------------------------------------------------------------------------------------------


def test_whatever_bit_of_a_kept_answer_flips_it_is_noticed(tmp_path: Path) -> None:
    """One bit of every byte, and every place to cut."""
    with serve(lambda *_: "five or 5") as point:
        c = client(point.url, cache=tmp_path)
        c.write(HELLO)
        (kept,) = tmp_path.glob("*.json")
        whole, told = kept.read_bytes(), []
        for i in range(len(whole)):
            flipped = bytearray(whole)
            flipped[i] ^= 1 << i % 8
            for damaged in (bytes(flipped), whole[:i]):
                kept.write_bytes(damaged)
                try:
                    told.append(c.write(HELLO).text)
                except Refused as e:
                    told.append(str(e).rpartition("; ")[2])
        assert set(told) <= {"five or 5", "it is damaged: delete it to ask again"}
        assert told.count("five or 5") < 5, "of what doesn't count, such as a blank between two words"
        assert len(point.asked) == 1
        kept.unlink()
        assert c.write(HELLO).text == "five or 5"
        assert len(point.asked) == 2


def test_another_questions_answer_is_not_this_ones(tmp_path: Path) -> None:
    with serve(lambda _m, seed: str(seed)) as point:
        c = client(point.url, cache=tmp_path)
        c.write(HELLO, 1)
        (one,) = tmp_path.glob("*.json")
        c.write(HELLO, 2)
        (two,) = set(tmp_path.glob("*.json")) - {one}
        two.write_bytes(one.read_bytes())
        assert c.write(HELLO, 1).text == "1"
        with pytest.raises(Refused, match="it is damaged"):
            c.write(HELLO, 2)


def test_a_full_disk_asks_nobody_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with serve(lambda *_: "five") as point:
        monkeypatch.setattr(remotes, "write_atomically", full)
        with pytest.raises(OSError, match="No space"):
            client(point.url, cache=tmp_path).write(HELLO)
        assert len(point.asked) == 1


# processes -----------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def forked(what: Callable[[], None]) -> Iterator[int]:
    """A process that is this one's copy, does it, and leaves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads, which this one doesn't need
        pid = os.fork()
    if not pid:
        try:
            what()
        finally:
            os._exit(0)
    yield pid


def paying() -> bytes:
    return json.dumps(
        {"choices": [{"message": {"content": "five"}}], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    ).encode()


@pytest.mark.parametrize("where", ["kept", "answered", "settled"])
def test_who_is_killed_between_an_answer_and_its_use_has_it(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL as soon as it is on the disk, before it is counted, and after."""
    real, settle = remotes.write_atomically, Ledger.settle

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def write(path: Path, data: str) -> None:
        real(path, data)
        if where == "kept":
            die()

    def settled(self: Ledger, name: str, cost: Any) -> None:
        if where == "answered":
            die()
        settle(self, name, cost)
        die()

    with serve(lambda *_: "another", paying()) as point:
        with monkeypatch.context() as m:
            m.setattr(remotes, "write_atomically", write)
            m.setattr(Ledger, "settle", settled)
            with forked(lambda: client(point.url, cache=tmp_path).write(HELLO) and None) as pid:
                assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
        c = client(point.url, cache=tmp_path)
        assert c.write(HELLO).text == "five"
        assert len(point.asked) == 1
        spent = c.spent
        assert (spent.requests, spent.tokens_out, spent.guessed) == ((1, 2, 0) if where == "settled" else (1, 16, 1)), (
            "counted, at its most where it wasn't settled"
        )


def test_two_processes_with_one_folder_ask_each_question_once(tmp_path: Path) -> None:
    """They begin together and ask the same."""
    with serve(lambda _m, seed: f"answer {seed}") as point:
        told = [tmp_path / "told-0", tmp_path / "told-1"]

        def ask(out: Path) -> None:
            while not (tmp_path / "go").exists():
                pass
            c = client(point.url, cache=tmp_path / "answers")
            out.write_text(json.dumps([c.write(HELLO, seed).text for seed in range(12)]))

        with forked(lambda: ask(told[0])) as one, forked(lambda: ask(told[1])) as two:
            (tmp_path / "go").touch()
            assert [os.waitpid(pid, 0)[1] for pid in (one, two)] == [0, 0]
        assert [json.loads(t.read_text()) for t in told] == [[f"answer {s}" for s in range(12)]] * 2
        assert sorted(a["seed"] for a in point.asked) == list(range(12))
        assert client(point.url, cache=tmp_path / "answers").spent.requests == 12
    assert not list((tmp_path / "answers").glob(".*.lock"))


def test_clients_in_threads_with_one_folder_ask_each_question_once(tmp_path: Path) -> None:
    with serve(lambda _m, seed: str(seed)) as point, ThreadPoolExecutor(8) as pool:
        clients = [client(point.url, cache=tmp_path) for _ in range(4)]
        asked = [pool.submit(c.write, HELLO, seed) for seed in range(5) for c in clients]
        assert [f.result().text for f in asked] == [str(s) for s in range(5) for _ in clients]
        assert sorted(a["seed"] for a in point.asked) == list(range(5))


def test_one_budget_for_all_who_share_a_folder(tmp_path: Path) -> None:
    ledgers, sent = [Ledger(Budget(requests=10), tmp_path / "spent.jsonl") for _ in range(4)], []

    def ask(ledger: Ledger) -> None:
        with contextlib.suppress(Refused):
            while True:
                sent.append(ledger.ask(1, 1))
                ledger.settle(sent[-1], (1, 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, ledgers))
    assert len(sent) == 10
    assert ledgers[0].spent.requests == 10


def test_a_ledger_that_was_tampered_with_gives_nothing_back(tmp_path: Path) -> None:
    path = tmp_path / "spent.jsonl"
    ledger = Ledger(path=path)
    ledger.settle(ledger.ask(100, 10), (50, 5))
    with path.open("a") as f:
        for line in (
            {"asked": "x", "in": -1000, "out": 0},
            {"asked": "y", "in": 1.5, "out": True},
            {"paid": "x", "in": -1, "out": 0},
            {"paid": ["z"]},
            [1],
            7,
            {"asked": "w"},
        ):
            f.write(json.dumps(line) + "\n")
    assert Ledger(path=path).spent == ledger.spent
    assert ledger.spent.tokens == 55


def test_a_lock_is_left_by_who_dies_and_removed_by_who_leaves(tmp_path: Path) -> None:
    path, inside, most = tmp_path / "a" / "lock", [0], [0]

    def enter(_: int) -> None:
        with locked(path):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            inside[0] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enter, range(200)))
    assert most == [1]
    assert not path.exists()
    path.touch()  # of somebody who was killed
    enter(0)
    assert not path.exists()


# log-probabilities ---------------------------------------------------------------------------------------------------------------

NONE: dict[str, Any] = {
    "NaN": math.nan,
    "infinite": math.inf,
    "above 0": 0.7,
    "a share": 0.25,
    "a word": "-0.1",
    "true": True,
    "missing": None,
    "a list": [-0.1],
    "huge": 10**400,
}


@pytest.mark.parametrize("value", NONE)
@pytest.mark.parametrize("where", ["chat", "chat, top", "text", "text, top", "prompt"])
def test_what_is_no_log_probability_is_refused(where: str, value: str) -> None:
    bad = NONE[value]
    token = lambda p=-0.1, top=-0.1: {"token": "ab", "logprob": p, "top_logprobs": [{"token": "ab", "logprob": top}]}
    if where.startswith("chat"):
        said = {
            "choices": [
                {"message": {"content": "ab"}, "logprobs": {"content": [token(**{"top" if "top" in where else "p": bad})]}}
            ]
        }
        read = lambda: written(said, 1)
    else:
        given: dict[str, Any] = {
            "tokens": ["a", "b"],
            "token_logprobs": [None, bad if where == "text" else -0.1],
            "top_logprobs": [None, {"b": bad if "top" in where else -0.1}],
        }
        more = {"prompt_logprobs": [None, {"5": {"logprob": bad, "decoded_token": "b"}}]} if where == "prompt" else {}
        read = lambda: judged({"choices": [{"text": "ab", "logprobs": given} | more]}, "a", "b", 1)
    with pytest.raises(NoLogprobs):
        read()


@pytest.mark.parametrize("given", [
    {"tokens": ["a", "b"], "token_logprobs": [None, -1, -1]}, {"tokens": ["a", "b"], "token_logprobs": [None]}, {"tokens": ["a"], "token_logprobs": [None, -1]},
    {"tokens": "ab", "token_logprobs": 7}, {"tokens": ["a", "b"], "token_logprobs": [None, -1], "top_logprobs": [None]}, {"tokens": ["a", "b"], "token_logprobs": [None, -1], "top_logprobs": [None, [1]]},
    {"tokens": ["a", 7], "token_logprobs": [None, -1]}, {"content": 7}, {"content": [{"token": "ab", "logprob": -1, "bytes": [999]}]}, {"content": [{"token": "ab", "logprob": -1, "top_logprobs": {"x": -1}}]},
])  # fmt: skip
def test_lists_of_another_length_or_kind_are_refused(given: Any) -> None:
    with pytest.raises(NoLogprobs):
        judged({"choices": [{"text": "ab", "logprobs": given}]}, "a", "b", 1)


@pytest.mark.parametrize("tokens", [["x", "b"], ["a"], ["b", "a"], ["a", "b", "c", "d"], ["ab", "ab"], [""], ["A", "b"]])
def test_tokens_that_do_not_join_up_are_refused(tokens: list[str]) -> None:
    given = {"tokens": tokens, "token_logprobs": [None] + [-1.0] * (len(tokens) - 1)}
    with pytest.raises(Refused, match="tokens that spell the text|no log-probabilities"):
        judged({"choices": [{"text": "abcde", "logprobs": given}]}, "a", "bcde", 1)


def test_chances_of_more_than_all_are_refused_and_rounding_is_not() -> None:
    of = lambda *p: written({"choices": [{"message": {"content": "a"}, "logprobs": {"content": [{"token": "a", "logprob": p[0], "top_logprobs": [{"token": f"t{i}", "logprob": q} for i, q in enumerate(p)]}]}}]}, 5)  # fmt: skip
    with pytest.raises(NoLogprobs):
        of(math.log(0.6), math.log(0.6))
    tokens = of(1e-6, -20.0, -math.inf, -9999.0).tokens
    assert tokens is not None
    assert tokens[0].logprob == 0.0
    assert [g.logprob for g in tokens[0].top] == [0.0, -20.0, -9999.0], "what can't happen is left out"
    assert all(0 <= math.exp(g.logprob) <= 1 for g in tokens[0].top)


@pytest.mark.parametrize("answer", ["nan", "sum", "shape"])
def test_none_of_it_reaches_a_student(answer: str, tmp_path: Path) -> None:
    """Through HTTP, and the cache, to what a student would learn from."""

    class Odd(Speaker):
        def completion(self, body: dict[str, Any]) -> Any:
            said = super().completion(body)
            lp = said["choices"][0]["logprobs"]
            if answer == "nan":
                lp["token_logprobs"][-2] = math.nan
            elif answer == "sum":
                lp["top_logprobs"] = [t and dict.fromkeys(t, -0.01) for t in lp["top_logprobs"]]
            else:
                lp["top_logprobs"] = lp["top_logprobs"][:-1]
            return said

    class Letters:
        def decode(self, ids: list[int]) -> str:
            return "".join(chr(97 + i) for i in ids)

    with serve(Odd(MODEL)) as point:
        c = from_address(f"openai:{point.url}?model=tiny&topk=5&wait=0&cache={tmp_path}")
        heard = Overheard(c, Letters(), 26)
        x = {"input_ids": torch.tensor([[2, 0, 19, 4]]), "asked": torch.tensor([[0, 1, 1, 1]])}
        for _ in range(2):
            with pytest.raises(NoLogprobs):
                heard(x)
        assert len(point.asked) == 1, "and it isn't paid for again"
        assert not list(tmp_path.glob("*.json"))
