"""A teacher behind HTTP: llm2llm learns from a language model on the loopback, through failures, and asks nothing twice."""

from __future__ import annotations

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import torch

from integration.endpoint import Endpoint, LanguageModel, Speaker, serve
from understudy.core import checkpoint, registry
from understudy.core.errors import Refused
from understudy.core.fit import fit
from understudy.core.run import Run, start
from understudy.core.seeds import stream
from understudy.teachers import wire
from understudy.teachers.logprobs import NoLogprobs, Token, judged, written
from understudy.teachers.remote import TEMPLATE, Client, Remote, from_address
from understudy.teachers.spending import Budget, Ledger
from understudy.worlds.intents import Intents, Writer, intents

KEY = "UNDERSTUDY_TEST_KEY"


def author(world: Intents) -> Any:
    """The world's own small language model, taught a few sentences on the spot, as an endpoint would answer."""
    words, pool, writer = world.data.words, world.data.pool, world.teacher()
    assert isinstance(writer, Writer)
    lines = torch.cat([writer.asked(pool.x, pool.y), pool.x], 1)
    adam = torch.optim.AdamW(writer.parameters(), 1e-2)
    with stream("author"):
        for _ in range(30):
            at = torch.randint(len(lines), (16,))
            logits = writer.lm(lines[at, :-1])[:, words.longest + 1 :]
            adam.zero_grad()
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), lines[at, words.longest + 2 :].flatten()).backward()
            adam.step()

    def answer(messages: list[dict[str, str]], seed: int) -> str:
        found = re.search(r"Intent: (.*)\nSentence: (.*)\n", messages[-1]["content"])
        assert found is not None
        intent, text = found.groups()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            said = writer(words.read(text)[None], torch.tensor([world.data.classes.index(intent)]))
        return words.text(said[0]) or text

    return answer


def learning(point: Endpoint, world: Intents, **how: Any) -> Run:
    how = {"retries": 3, "wait": 0.01, "workers": 4} | how
    return start(registry.get("llm2llm")(rounds=4, new=2), world.written_by(point.url, "tiny", **how), 0, device="cpu")


def remote(url: str, **how: Any) -> Remote:
    ask = lambda x: [{"role": "user", "content": str(x.tolist())}]
    return Remote(url, "tiny", ask, lambda text: torch.tensor([float(text)]), **({"retries": 1, "wait": 0.01} | how))


def test_llm2llm_learns_over_http_through_a_broken_server() -> None:
    world = intents(0, small=True)
    with serve(author(world), 500, 503, 429) as point:
        run = fit(learning(point, world))
        assert len(point.asked) == int(run["pool"].count) - 16 + 3 > 3, "a failed question is asked again, no other"
        kept = {tuple(r) for r in run["seeds"].x.tolist()}
        wrote = run["pool"].x[16 : int(run["pool"].count)]
        assert any(tuple(r) not in kept for r in wrote.tolist()) and (wrote > 0).any(1).all()


def test_a_resumed_run_is_the_same_and_asks_nothing_twice(tmp_path: Path) -> None:
    world = intents(0, small=True)
    with serve(author(world)) as point:
        whole = fit(learning(point, world, cache=tmp_path / "answers"))
        once, path = len(point.asked), checkpoint.write(fit(learning(point, world, cache=tmp_path / "answers"), 9), tmp_path)
        again = checkpoint.restore(learning(point, world, cache=tmp_path / "answers"), checkpoint.read(path))
        fit(again)
        assert len(point.asked) == once, "an answer on disk was asked for again"
        assert all(torch.equal(v, again.nets.state_dict()[k]) for k, v in whole.nets.state_dict().items())


def test_a_key_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "sesame-7")
    with serve(lambda *_: "2", 401) as point:
        net = remote(point.url + "/v1", key=KEY)
        with pytest.raises(Refused, match=f"HTTP 401.*is the key in {KEY} right") as e:
            net(torch.zeros(1, 1))
        assert point.headers[0]["Authorization"] == "Bearer sesame-7"
        assert "sesame" not in str(e.value) + repr(net) + str(vars(net)) and len(point.asked) == 1
        assert net(torch.zeros(3, 1)).tolist() == [[2]] * 3


def test_what_it_cannot_use_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY, raising=False)
    for bad in ("ftp://host", "file:///etc/hosts", "host:80", "http://me:secret@host", "https://host?key=secret"):
        with pytest.raises(Refused, match="remote.url") as e:
            remote(bad)
        assert "secret" not in str(e.value)
    with pytest.raises(Refused, match=f"remote.key='{KEY}'.*export {KEY}="):
        remote("http://127.0.0.1", key=KEY)
    with pytest.raises(Refused, match="remote.timeout"):
        remote("http://127.0.0.1", timeout=0)
    with pytest.raises(Refused, match="remote.model"):
        Remote("http://127.0.0.1", "", list, torch.tensor)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (b'{"choices": []}', "choices.0..message.content"),
        (b'{"choices": [{"message": {"content": null}}]}', "choices.0..message.content"),
        (404, "HTTP 404.*does the server know the model 'tiny'"),
        (302, "HTTP 302"),
    ],
)
def test_an_answer_that_is_none_is_refused_at_once(fault: Any, says: str, tmp_path: Path) -> None:
    with serve(lambda *_: "1", fault) as point:
        with pytest.raises(Refused, match=says):
            remote(point.url, cache=tmp_path)(torch.zeros(1, 1))
        assert len(point.asked) == 1 and not any(tmp_path.glob("*.json")), "it was asked again, or kept"


def test_silence_is_waited_for_only_so_long() -> None:
    with serve(lambda *_: "5", 0.3) as point:
        assert remote(point.url, timeout=0.1, retries=3)(torch.zeros(1, 1)).tolist() == [[5]]
    with serve(lambda *_: "5", 0.3, 0.3) as point, pytest.raises(Refused, match="timed out, 2 times"):
        remote(point.url, timeout=0.1)(torch.zeros(1, 1))
    with pytest.raises(Refused, match="is the server running"):
        remote(point.url)(torch.zeros(1, 1))


def test_the_same_question_is_another_one_at_another_seed() -> None:
    with serve(lambda _m, seed: str(seed % 97)) as point:
        net = remote(point.url)
        with stream("a"):
            first = net(torch.zeros(4, 1))
        with stream("a"):
            assert torch.equal(net(torch.zeros(4, 1)), first) and len(point.asked) == 4
        with stream("b"):
            assert not torch.equal(net(torch.zeros(4, 1)), first) and len(point.asked) == 8


HELLO = [{"role": "user", "content": "the cat is 😀"}]
MODEL = LanguageModel()


def client(point: Endpoint, **how: Any) -> Client:
    return Client(point.url, "tiny", **({"retries": 1, "wait": 0.01, "max_tokens": 16} | how))


def texts(files: Path) -> str:
    return "".join(f.read_text() for f in files.iterdir())


# --- failures


@pytest.mark.parametrize(
    "fault", [408, 409, 429, 500, 502, 503, 504, b"<html>busy</html>", "cut", "half", "drop", "noise", "drip", 0.7]
)
def test_a_failure_that_may_pass_is_asked_again_and_one_that_stays_is_refused(fault: Any, tmp_path: Path) -> None:
    with serve(lambda *_: "five", fault, fault, fault) as point:
        c = client(point, timeout=0.4 if fault in ("drip", 0.7) else 10, cache=tmp_path)
        with pytest.raises(Refused, match=r"remote='http://127.*an endpoint that answers \(.+, 2 times\); is the server running"):
            c.write(HELLO)
        assert not any(tmp_path.glob("*.json")) and len(point.asked) == 2
        assert c.write(HELLO).text == "five" and len(point.asked) == 4, "a third failure, then an answer"


def test_pauses_double_and_the_server_may_ask_for_longer_ones() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
    wishes = [
        {},
        {"Retry-After": "7"},
        {"Retry-After": "1"},
        {"Retry-After": "86400"},
        {"Retry-After": later},
        {"Retry-After": "soon"},
    ]
    with serve(lambda *_: "five", *[(429, wish) for wish in wishes]) as point:
        slept: list[float] = []
        assert client(point, retries=6, wait=1.0, sleep=slept.append).write(HELLO).text == "five"
        assert slept == [1, 7, 4, 60, 60, 32]


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MOST", 100)
    with serve(lambda *_: "long" * 100) as point, pytest.raises(Refused, match="an answer of at most 100 bytes"):
        client(point).write(HELLO)


def test_a_damaged_answer_on_disk_is_named(tmp_path: Path) -> None:
    with serve(lambda *_: "five") as point:
        client(point, cache=tmp_path).write(HELLO)
        (kept,) = tmp_path.glob("*.json")
        kept.write_bytes(kept.read_bytes()[:20])
        with pytest.raises(Refused, match=f"remote.cache='{kept}'.*delete it to ask again"):
            client(point, cache=tmp_path).write(HELLO)


# --- asked once


def test_equal_questions_at_the_same_time_are_one(tmp_path: Path) -> None:
    slow, all_wait = threading.Event(), threading.Barrier(9)

    def answer(*_: Any) -> str:
        slow.wait(5)
        return "five"

    with serve(answer) as point, ThreadPoolExecutor(8) as pool:
        c = client(point, cache=tmp_path)
        asked = [pool.submit(lambda: (all_wait.wait(), c.write(HELLO))[1]) for _ in range(8)]
        all_wait.wait()
        while len(c._asked) == 0:
            time.sleep(0.001)
        slow.set()
        assert {f.result().text for f in asked} == {"five"} and len(point.asked) == 1
        assert client(point, cache=tmp_path).write(HELLO).text == "five" and len(point.asked) == 1, (
            "asked again by another client"
        )
        assert c.write(HELLO, seed=1).text == "five" and len(point.asked) == 2


def test_a_failure_is_told_to_all_who_wait_and_not_remembered() -> None:
    hold, all_wait = threading.Event(), threading.Barrier(4)
    with serve(lambda *_: hold.wait(5) and "", 404) as point, ThreadPoolExecutor(3) as pool:
        c = client(point)
        asked = [pool.submit(lambda: (all_wait.wait(), c.write(HELLO))) for _ in range(3)]
        all_wait.wait()
        hold.set()
        errors = [f.exception() for f in asked]
        assert sum(isinstance(e, Refused) for e in errors) == 4 - len(point.asked) and len(point.asked) <= 3
        assert c.write(HELLO).text == ""


# --- the key


def test_a_key_is_nowhere_even_where_the_server_repeats_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "sesame-7")
    with serve(
        lambda *_: "your key is sesame-7", 500, b"what is sesame-7", b'{"error": "sesame-7?"}', (401, {"X-Key": "sesame-7"})
    ) as point:
        c = client(point, key=KEY, cache=tmp_path)
        said = [repr(c), str(vars(c))]
        for _ in range(3):
            with pytest.raises(Refused) as e:
                client(point, key=KEY, cache=tmp_path, retries=0).write(HELLO)
            said.append(str(e.value) + repr(e.value.__cause__))
        assert "***" in said[3] and "***" in said[4], "it was repeated, and blotted out"
        with pytest.raises(Refused):
            c.write(HELLO)
        said += [c.write(HELLO).text, texts(tmp_path)]
        assert "sesame" not in "".join(said) and all(h["Authorization"] == "Bearer sesame-7" for h in point.headers)


def test_a_key_in_the_wrong_place_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("key=sk-Sesame7", "key=sesame7", "apikey=sk-sesame7", "keys=sesame7"):
        with pytest.raises(Refused, match="key") as e:
            from_address(f"openai:http://127.0.0.1?{address}&model=tiny")
        assert "sesame7" not in str(e.value).lower()
    monkeypatch.setenv(KEY, "sesame\r\nX-Other: 7")
    with pytest.raises(Refused, match=f"remote.key='{KEY}'.*in one line") as e:
        from_address(f"openai:http://127.0.0.1?model=tiny&key={KEY}")
    assert "sesame" not in str(e.value)


# --- the budget


@pytest.fixture
def speaking() -> Any:
    with serve(Speaker(MODEL)) as point:
        yield point


def most(c: Client, messages: Any = HELLO, seed: int = 0) -> int:
    """Tokens in that a question can't exceed: one a byte, and the template's."""
    return len(json.dumps({"model": "tiny", "messages": messages, "seed": seed} | c.how, ensure_ascii=False).encode()) + TEMPLATE


def test_a_limit_of_requests_holds_under_threads_and_failures_count() -> None:
    with serve(lambda *_: "five", 500) as point, ThreadPoolExecutor(8) as pool:
        c = client(point, budget=Budget(requests=4))
        asked = [pool.submit(c.write, HELLO, seed) for seed in range(8)]
        errors = [e for f in asked if (e := f.exception())]
        assert len(point.asked) == 4 and len(errors) == 5, "five of eight weren't answered: one request failed"
        for e in errors:
            assert re.search("remote.budget: the limit is 4 requests; spent so far: 4 requests.*raise budget=", str(e))


def test_a_limit_of_tokens_is_kept_before_the_question_and_counts_what_the_server_says(speaking: Endpoint) -> None:
    c = client(speaking)
    c.write(HELLO)
    used = c.spent
    assert (used.requests, used.guessed) == (1, 0) and used.tokens_in == len(MODEL.tokens("the cat is 😀".encode())) + 1
    assert 0 < used.tokens_out <= 16
    enough = used.tokens + most(c, seed=1) + 16
    client(speaking, budget=Budget(tokens=enough)).write(HELLO)
    exact, short = (client(speaking, budget=Budget(tokens=t)) for t in (enough, enough - 1))
    for c in (exact, short):
        c.write(HELLO)
    exact.write(HELLO, 1)
    before = len(speaking.asked)
    with pytest.raises(
        Refused, match=f"the limit is {enough - 1:,} tokens, and the next question could cost {most(c, seed=1) + 16}"
    ):
        short.write(HELLO, 1)
    assert len(speaking.asked) == before, "it was sent"
    assert short.write(HELLO).text == exact.write(HELLO).text, "what is kept costs nothing"


def test_a_limit_of_money_counts_in_and_out_apart(speaking: Endpoint) -> None:
    price = (2.0, 8.0)
    c = client(speaking, budget=Budget(price=price))
    c.write(HELLO)
    assert c.spent.money == pytest.approx((2 * c.spent.tokens_in + 8 * c.spent.tokens_out) / 1e6)
    short = client(speaking, budget=Budget(money=0.99 * (2 * most(c) + 8 * 16) / 1e6, price=price))
    with pytest.raises(Refused, match="the limit is .* of money, and the next question could cost .* 0 of money"):
        short.write(HELLO)


def test_who_could_exceed_waits_for_what_is_under_way() -> None:
    """Two questions don't fit at their most, and do at what they cost."""
    with serve(Speaker(MODEL)) as point, ThreadPoolExecutor(2) as pool:
        c = client(point, budget=Budget(tokens=int(1.5 * (most(client(point)) + 16))))
        assert len(list(pool.map(c.write, [HELLO] * 2, range(2)))) == 2 == len(point.asked)


def test_without_usage_a_question_counts_at_its_most_and_says_so() -> None:
    with serve(Speaker(MODEL, usage=False)) as point:
        c = client(point)
        c.write(HELLO)
        assert (c.spent.guessed, c.spent.tokens_in, c.spent.tokens_out) == (1, most(c), 16)
        assert "1 of them without usage from the server, counted at their most" in str(c.spent)
    with serve(Speaker(MODEL), "drop", 500) as point:
        c = client(point, retries=2)
        c.write(HELLO)
        assert (c.spent.requests, c.spent.guessed) == (3, 1), "who hangs up may have been paid; who says 500 wasn't"


def test_what_was_spent_outlives_the_run(tmp_path: Path, speaking: Endpoint) -> None:
    first = client(speaking, cache=tmp_path, budget=Budget(requests=2))
    first.write(HELLO)
    assert client(speaking, cache=tmp_path).spent == first.spent
    second = client(speaking, cache=tmp_path, budget=Budget(requests=2))
    second.write(HELLO)
    second.write(HELLO, 1)
    for c in (first, second):
        with pytest.raises(Refused, match=f"2 requests.*what is in {tmp_path} costs nothing"):
            c.write(HELLO, 2)
    assert len(speaking.asked) == 2
    other = Client(speaking.url, "another", cache=tmp_path)
    assert other.spent.requests == 0, "another model has its own account"


def test_a_run_that_was_killed_has_forgotten_nothing(tmp_path: Path) -> None:
    path = tmp_path / "spent.jsonl"
    killed = Ledger(path=path)
    killed.settle(killed.ask(100, 10), (50, 5))
    killed.ask(100, 10)
    with path.open("ab") as file:
        file.write(b'{"asked": "ab')  # the power went
    again = Ledger(Budget(tokens=166), path)
    assert (again.spent.tokens_in, again.spent.tokens_out, again.spent.guessed) == (150, 15, 1)
    with pytest.raises(Refused, match="the limit is 166 tokens, and the next question could cost 2;"):
        again.ask(1, 1)
    again.settle(again.ask(1, 0), (1, 0))
    assert Ledger(path=path).spent == killed.spent == again.spent and again.spent.tokens == 166


def test_a_budget_in_words() -> None:
    assert Budget.read("500requests,2e6tokens,5", "0.15/0.6") == Budget(500, 2_000_000, 5.0, (0.15, 0.6))
    assert Budget.read() == Budget() and Budget.read("10requests") == Budget(requests=10)
    for limits, price in (
        ("5", ""),
        ("five", "1/1"),
        ("5,6", "1/1"),
        ("-1requests", ""),
        ("1.5tokens", ""),
        ("nan", "1/1"),
        ("1requests,2requests", ""),
    ):
        with pytest.raises(Refused, match="budget="):
            Budget.read(limits, price)
    for price in ("1", "1/2/3", "a/b", "-1/2", "1/inf"):
        with pytest.raises(Refused, match="price="):
            Budget.read("", price)


# --- log-probabilities


@pytest.mark.parametrize("dialect", ["openai", "vllm", "vllm-old", "llama.cpp"])
def test_what_it_writes_comes_with_the_models_own_log_probabilities(dialect: str) -> None:
    before = MODEL.tokens("the cat is 😀".encode())
    seen = set()
    with serve(Speaker(MODEL, dialect)) as point:
        c = client(point, topk=5)
        for seed in range(8):
            ids = MODEL.continued(before, seed, 16)
            ended = ids[-1] == 1
            said = c.write(HELLO, seed)
            assert said.text.encode() == b"".join(MODEL.pieces[i] for i in ids if i > 1) and said.finish == (
                "stop" if ended else "length"
            )
            assert said.tokens is not None
            shown = ids if ended and dialect.startswith("vllm") else [i for i in ids if i > 1]
            check(said.tokens, shown, MODEL.logprobs(before + ids)[len(before) :], said.text.encode(), 5, dialect)
            seen |= set(ids)
    assert 1 in seen and any(MODEL.pieces[i].endswith(b"\xf0\x9f") for i in seen), (
        "an end and a divided character were among them"
    )


@pytest.mark.parametrize("dialect", ["openai", "vllm", "vllm-old"])
@pytest.mark.parametrize(
    ("prompt", "completion"),
    [("the cat 😀", " sings é 😁 ok."), ("", "the cat"), ("s", "ing"), ("é", "😀"), ("", "😀 é"), ("a", "b")],
)
def test_it_judges_given_text_with_the_models_own_log_probabilities(dialect: str, prompt: str, completion: str) -> None:
    whole, first = MODEL.tokens((prompt + completion).encode()), len(prompt.encode())
    ends = torch.tensor([len(MODEL.pieces[i]) for i in whole]).cumsum(0).tolist()
    skip = sum(e <= first for e in ends)
    with serve(Speaker(MODEL, dialect)) as point:
        tokens = client(point, topk=5).judge(prompt, completion)
        assert point.asked[0]["max_tokens"] == 1 and point.asked[0]["echo"] is True
    rows = MODEL.logprobs(whole)[skip:]
    if dialect == "openai" and not skip:  # the first token of all has nothing before it
        assert tokens[0].logprob is None and tokens[0].top == ()
        tokens, skip, rows = tokens[1:], 1, rows[1:]
    check(tokens, whole[skip:], rows, completion.encode(), 5, dialect, ends[skip - 1] - first if skip else -first)


def check(
    tokens: tuple[Token, ...], ids: list[int], rows: torch.Tensor, text: bytes, k: int, dialect: str, start: int = 0
) -> None:
    """Value by value against the model; places against the pieces."""
    assert len(tokens) == len(ids)
    for t, i, r in zip(tokens, ids, rows):
        assert t.logprob == pytest.approx(float(r[i]), abs=1e-6)
        best = r.topk(k)
        assert [g.logprob for g in t.top] == pytest.approx(best.values.tolist(), abs=1e-6)
        for g, j in zip(t.top, best.indices.tolist()):
            assert g.bytes in ((MODEL.pieces[j],) if dialect in ("openai", "llama.cpp") else (MODEL.pieces[j], None))
            assert g.id in (None, j)
        assert t.id in (None, i)
    pieces = [b"" if i == 1 else MODEL.pieces[i] for i in ids]
    ends = [start + sum(map(len, pieces[: n + 1])) for n in range(len(pieces))]
    exact = list(zip([start, *ends], ends))
    if dialect in ("openai", "llama.cpp"):
        assert [(t.start, t.end) for t in tokens] == exact
    else:  # half a character isn't told: all that is known is in which character it is
        assert all(t.start <= b and t.end >= a for t, (a, b) in zip(tokens, exact))
        assert all(text[t.start : t.end].decode() is not None for t in tokens if t.start >= 0)
        whole = [n for n, p in enumerate(pieces) if p.decode("utf-8", "ignore").encode() == p]
        assert all((tokens[n].start, tokens[n].end) == exact[n] for n in whole)
    assert tokens[-1].end == len(text)


def test_writing_and_judging_agree(speaking: Endpoint) -> None:
    """The same tokens after the same text have the same chances, whichever way they are asked about."""
    c = client(speaking, topk=3)
    said = c.write(HELLO, 0)
    given = c.judge("the cat is 😀", said.text)
    assert said.tokens is not None and [(t.start, t.end) for t in said.tokens] == [(t.start, t.end) for t in given]
    assert [t.logprob for t in said.tokens] == pytest.approx([t.logprob for t in given], abs=1e-6)
    assert c.judge("the cat", "") == () and c.judge("the cat is 😀", said.text) == given and len(speaking.asked) == 2


@pytest.mark.parametrize(("dialect", "ask"), [("texts", "write"), ("texts", "judge"), ("llama.cpp", "judge")])
def test_a_server_without_them_is_named_once_and_its_texts_will_do(dialect: str, ask: str, tmp_path: Path) -> None:
    with serve(Speaker(MODEL, dialect)) as point:
        c = client(point, topk=5, cache=tmp_path)
        for n in range(3):
            with pytest.raises(
                NoLogprobs, match="the server gives no log-probabilities.*leave out topk= and use the texts alone"
            ):
                c.write(HELLO, n) if ask == "write" else c.judge("the cat", " is" * (n + 1))
        assert len(point.asked) == 1, "it was paid for again"
        said = client(point, cache=tmp_path).write(HELLO)
        assert said.text and said.tokens is None


@pytest.mark.parametrize(
    ("status", "words"), [(400, b'{"error": "logprobs are not supported by this model"}'), (404, b"no such page"), (501, b"")]
)
def test_a_server_that_refuses_them_is_named_too(status: int, words: bytes) -> None:
    with (
        serve(Speaker(MODEL), (status, {}, words)) as point,
        pytest.raises(NoLogprobs, match=f"HTTP {status}.*lower topk=, or leave"),
    ):
        client(point, topk=50).judge("the", " cat")


def test_answers_that_are_no_log_probabilities() -> None:
    chat = lambda lp: {"choices": [{"message": {"content": "ab"}, "logprobs": lp}]}
    for lp in (None, {}, {"content": None}, {"content": []}, {"content": [{"token": "ab"}]}, [1], "x"):
        with pytest.raises(NoLogprobs):
            written(chat(lp), 2)
    with pytest.raises(Refused, match="tokens that spell the text, ab"):
        written(chat({"content": [{"token": "xyz", "logprob": -1.0}]}), 2)
    text = lambda lp, said="abc": {"choices": [{"text": said, "logprobs": lp}]}
    for lp in (None, {}, {"tokens": ["ab"], "token_logprobs": []}, {"tokens": ["a", "b"], "token_logprobs": [None, None]}, 7):
        with pytest.raises(NoLogprobs):
            judged(text(lp), "a", "b", 2)
    for wrong in ({}, [], None, {"choices": [{}]}, {"choices": [{"text": None}]}):
        with pytest.raises(Refused, match="as of /v1/completions"):
            judged(wrong, "a", "b", 2)
    assert written({"choices": [{"message": {"content": ""}, "logprobs": {"content": []}}]}, 2).tokens == ()
    doubtful = {"tokens": ["<s>", "\ufffd", "xyz", "q"], "token_logprobs": [None, -1, -2, -3]}
    with pytest.raises(Refused, match="tokens that spell the text, é"):
        judged(text(doubtful, "é"), "", "é", 2)


def test_what_is_written_after_given_text_is_not_taken_for_it() -> None:
    lp = {"tokens": ["<s>", "a", "a"], "token_logprobs": [None, -1, -2]}
    assert [t.logprob for t in judged({"choices": [{"text": "aa", "logprobs": lp}]}, "", "a", 1)] == [-1]


def test_thoughts_that_are_not_shown_and_blanks_that_are_lost() -> None:
    content = [{"token": t, "logprob": -float(n + 1)} for n, t in enumerate(["<think>", "4", "</think>", "\n\n", "4", "<end>"])]
    said = written({"choices": [{"message": {"content": "4"}, "logprobs": {"content": content}}]}, 1)
    assert said.tokens is not None and [(t.text, t.start, t.end, t.logprob) for t in said.tokens] == [
        ("4", 0, 1, -5),
        ("<end>", 1, 1, -6),
    ]
    lp = {"tokens": ["<s>", "the", "cat", "s", "x"], "token_logprobs": [None, -1, -2, -3, -4]}
    tokens = judged({"choices": [{"text": "the cats x", "logprobs": lp}]}, "the", " cats", 1)
    assert [(t.text, t.start, t.end, t.logprob, t.top) for t in tokens] == [("cat", 0, 4, -2, ()), ("s", 4, 5, -3, ())]


@pytest.mark.parametrize(
    "half", [{"token": "\\xf0\\x9f", "bytes": [240, 159]}, {"token": "\ufffd", "bytes": None}, {"token": ""}]
)
def test_a_text_cut_off_within_a_character(half: dict[str, Any]) -> None:
    content = [{"token": "ab", "logprob": -1.0}, half | {"logprob": -2.0}]
    said = written({"choices": [{"message": {"content": "ab\ufffd"}, "logprobs": {"content": content}}]}, 1)
    assert said.tokens is not None and [(t.start, t.logprob) for t in said.tokens] == [(0, -1), (2, -2)]
    assert said.tokens[0].end == 2 and said.tokens[1].end in (2, 5)


# --- by address


def test_a_client_by_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speaking: Endpoint) -> None:
    monkeypatch.setenv(KEY, "sesame-7")
    c = from_address(
        f"openai:{speaking.url}/v1?model=tiny&key={KEY}&budget=2requests,5&price=0.15/0.6&topk=4&max_tokens=8&temperature=0.5"
        f"&timeout=5&retries=0&wait=0&cache={tmp_path}"
    )
    said = c.write(HELLO)
    assert said.tokens is not None and len(said.tokens) <= 8 and len(said.tokens[0].top) == 4
    asked = speaking.asked[0]
    assert (asked["temperature"], asked["max_tokens"], asked["top_logprobs"]) == (0.5, 8, 4) and any(tmp_path.glob("*.json"))
    assert c.spent.money == pytest.approx((0.15 * c.spent.tokens_in + 0.6 * c.spent.tokens_out) / 1e6)
    for address, says in (
        ("hf:gpt2", "teacher='hf'"),
        ("openai:http://h?modle=tiny", "modle=.*did you mean 'model'"),
        ("openai:http://h", "remote.model=''"),
        ("openai:?model=tiny", "remote.url=''"),
        ("openai:http://h:port?model=tiny", "remote.url="),
        ("openai:http://h?model=tiny&topk=many", "topk='many'"),
        ("openai:http://h?model=tiny&timeout=soon", "timeout='soon'"),
        ("openai:http://h?model=tiny&temperature=-1", "remote.temperature=-1.0"),
        ("openai:http://h?model=tiny&budget=5", "money needs a price"),
    ):
        with pytest.raises(Refused, match=says):
            from_address(address)
