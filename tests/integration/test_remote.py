"""A teacher behind HTTP: llm2llm learns from a language model on the loopback, through failures, and asks nothing twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from integration.endpoint import Endpoint, serve
from understudy.core import checkpoint, registry
from understudy.core.errors import Refused
from understudy.core.fit import fit
from understudy.core.run import Run, start
from understudy.core.seeds import stream
from understudy.teachers.remote import Remote
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
        (b"<html>hello</html>", "choices.0..message.content"),
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
        assert len(point.asked) == 1 and not any(tmp_path.iterdir()), "it was asked again, or kept"


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
