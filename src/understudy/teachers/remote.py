"""A language model behind an HTTP endpoint as a teacher: any server that speaks OpenAI's protocol."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import threading
import time
import urllib.error
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from understudy.core.errors import refuse
from understudy.core.files import write_atomically
from understudy.data.address import parse, whole
from understudy.teachers.logprobs import MEND, NoLogprobs, Token, Written, judged, written
from understudy.teachers.spending import Budget, Ledger, Spent, locked, usage
from understudy.teachers.wire import base, post, seconds

Messages = list[dict[str, str]]
T = TypeVar("T")
AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})  # a server that may yet answer
LONGEST = 60.0  # seconds that a server may ask to wait, and between two questions
SECRET = 8  # letters of a key that is blotted out
TEMPLATE = 64  # tokens that a server may put around a question
OPTIONS = ("model", "key", "budget", "price", "topk", "temperature", "max_tokens", "timeout", "retries", "wait", "cache")


class Client:
    """Asks a model at an endpoint to write (`write`) or to judge given text (`judge`); thread-safe.

    url: of the server, with or without /v1. key: the name of the environment variable that holds the key; it is sent and never
    shown. timeout: seconds for one whole answer. A busy or broken server is asked again, `retries` times, after 1, 2, 4 ... times
    `wait` seconds (a minute at most) or when it says so. Answers are kept by question, each with its digest (in the folder `cache`,
    or in memory), and never paid for twice, by several processes with one folder neither; what was spent is kept beside them, and no
    question is sent that could exceed the budget. topk: log-probabilities of so many tokens a place; 0 asks for the text alone.
    sleep: how a pause is made. Raises `Refused`; `NoLogprobs` where the server gives none.
    """

    def __init__(self, url: str, model: str, *, key: str | None = None, timeout: float = 60.0, retries: int = 4,
                 wait: float = 1.0, cache: str | Path | None = None, temperature: float = 1.0, max_tokens: int = 256,
                 topk: int = 0, budget: Budget | None = None, sleep: Callable[[float], None] = time.sleep) -> None:  # fmt: skip
        self.url, self.sleep = base(url), sleep
        if not model:
            raise refuse("remote.model", model, "the name that the server knows it by", "give model=<name>")
        least: dict[str, float] = {"timeout": 1e-3, "retries": 0, "wait": 0.0, "temperature": 0.0, "max_tokens": 1, "topk": 0}
        for name, value in zip(least, (timeout, retries, wait, temperature, max_tokens, topk), strict=True):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not least[name] <= value < math.inf:
                raise refuse(f"remote.{name}", value, f"a number of {least[name]} or more")
        self.model, self.key, self.timeout, self.retries, self.wait = model, key, timeout, retries, wait
        self.how, self.topk = {"temperature": temperature, "max_tokens": max_tokens}, topk
        self.cache = None if cache is None else Path(cache)
        self._secret()
        whom = hashlib.blake2b(f"{self.url}\n{model}".encode(), digest_size=8).hexdigest()
        self._ledger = Ledger(budget, self.cache and self.cache / f"spent-{whom}.jsonl")
        self._lock = threading.Lock()
        self._kept: dict[str, Any] = {}  # where there is no folder
        self._asked: dict[str, Future[Any]] = {}  # under way
        self._lacks: dict[str, str] = {}  # what this server can't do

    def __repr__(self) -> str:
        return f"Client({self.url!r}, {self.model!r}, key={self.key!r})"

    @property
    def spent(self) -> Spent:
        """What was spent at this endpoint and model so far, by runs before this one too where there is a cache."""
        return self._ledger.spent

    def write(self, messages: Messages, seed: int = 0) -> Written:
        """What the model answers to messages, with log-probabilities where topk is above 0."""
        question = {"model": self.model, "messages": messages, "seed": seed} | self.how
        if self.topk:
            question |= {"logprobs": True, "top_logprobs": self.topk}
        return self._answer("/chat/completions", question, partial(written, topk=self.topk))

    def judge(self, prompt: str, completion: str) -> tuple[Token, ...]:
        """The log-probabilities of a given completion after a prompt, as plain text: a chat template is the caller's to write
        out, the token that a text begins with is the server's to add."""
        if not completion:
            return ()
        # one token more than needed: 0 means "no limit" to some servers
        question = {"model": self.model, "prompt": prompt + completion,
                    "max_tokens": 1, "temperature": 0.0, "echo": True, "logprobs": self.topk}  # fmt: skip
        read = partial(judged, prompt=prompt, completion=completion, topk=self.topk)
        return self._answer("/completions", question, read)

    def _answer(self, path: str, question: dict[str, Any], read: Callable[[Any], T]) -> T:
        """Read from what is kept, or asked: once, however many ask at the same time; an answer that can't be read isn't kept."""
        body = json.dumps(question, sort_keys=True)
        name = hashlib.blake2b(f"{self.url}{path}\n{body}".encode(), digest_size=16).hexdigest()
        with self._lock:
            under_way = self._asked.get(name)
            mine = self._asked[name] = under_way or Future()
        if under_way:
            return read(under_way.result())
        try:
            answer = self._recall(name)
            if answer is None:
                with locked(self.cache and self.cache / f".{name}.lock"):  # another process may be asking
                    answer = self._recall(name)
                    if answer is None:
                        answer = self._send(path, body, question, partial(self._keep, path, name, read))
            got = read(answer)
            mine.set_result(answer)
            return got
        except BaseException as e:
            mine.set_exception(e)
            raise
        finally:
            with self._lock:
                del self._asked[name]

    def _keep(self, path: str, name: str, read: Callable[[Any], Any], answer: Any) -> None:
        """What can be read, on the disk before anybody uses it."""
        try:
            read(answer)
        except NoLogprobs as e:
            self._lacks[path] = str(e)  # the next question would be paid for in vain
            raise
        if self.cache is None:
            self._kept[name] = answer
        else:
            kept = {"answer": answer, "digest": _digest(name, answer)}
            write_atomically(self.cache / f"{name}.json", json.dumps(kept, sort_keys=True))

    def _recall(self, name: str) -> Any:
        file = self.cache and self.cache / f"{name}.json"
        if file is None:
            return self._kept.get(name)
        try:
            kept = json.loads(file.read_bytes())
            if kept["digest"] != _digest(name, kept["answer"]):
                raise ValueError
            return kept["answer"]
        except FileNotFoundError:
            return None
        except (ValueError, LookupError, TypeError, RecursionError):
            raise refuse("remote.cache", str(file), "an answer as it was kept", "it is damaged: delete it to ask again") from None

    def _send(self, path: str, body: str, question: dict[str, Any], keep: Callable[[Any], None]) -> Any:
        if path in self._lacks and "logprobs" in question:
            raise NoLogprobs(self._lacks[path])
        most = len(json.dumps(question, ensure_ascii=False).encode("utf-8", "replace")) + TEMPLATE  # no token is less than a byte
        for tried in range(self.retries + 1):
            entry, cost, after = self._ledger.ask(most, int(question["max_tokens"])), None, 0.0
            try:
                answer, why, after, code = self._once(path, body)
                if why is None:
                    cost = usage(answer)
                    keep(answer)  # before it is settled: who is killed in between has it, and counts it at its most
                    return answer
                if code:
                    cost = (0, 0)
                if code and code not in AGAIN:
                    absent = path == "/completions" and code in (404, 405, 501)
                    if "logprobs" in question and (absent or re.search("logprob|echo", why)):
                        raise NoLogprobs(f"remote: the server gives no such log-probabilities ({why}); lower topk=, or {MEND}")
                    raise refuse("remote", self.url + path, f"an endpoint that answers ({why})", self._mend(code))
            finally:
                self._ledger.settle(entry, cost)
            if tried < self.retries:
                self.sleep(max(min(self.wait * 2.0 ** min(tried, 60), max(self.wait, LONGEST)), min(after, LONGEST)))
        raise refuse(
            "remote", self.url + path, f"an endpoint that answers ({why}, {self.retries + 1} times)", "is the server running?"
        )

    def _once(self, path: str, body: str) -> tuple[Any, str | None, float, int]:
        """An answer; or why there is none, the seconds that the server asks to wait, and its status where it gave one."""
        try:
            said = post(self.url + path, body.encode(), self._secret(), self.timeout)
            try:
                return self._clean(json.loads(said)), None, 0.0, 0
            except (ValueError, RecursionError):  # a gateway's page, or half an answer
                return None, f"an answer that isn't JSON: {self._words(said)}", 0.0, 0
        except urllib.error.HTTPError as e:
            return None, f"HTTP {e.code}: {self._heard(e)}", seconds(e.headers.get("Retry-After", "")), e.code
        except (OSError, HTTPException) as e:  # no route, refused, reset, cut off, or silence
            return None, self._words(str(getattr(e, "reason", e)).encode()) or type(e).__name__, 0.0, 0

    def _secret(self) -> str:
        """The key. Not kept: what isn't there can't be shown."""
        if self.key is None:
            return ""
        named = self.key in os.environ or re.fullmatch("[A-Z_][A-Z0-9_]*", self.key)
        name = self.key if named else "..."  # it may be the key itself, in its name's place
        secret = os.environ.get(self.key, "")
        if not secret:
            raise refuse("remote.key", name, "the name of an environment variable that holds the key", f"export {name}=...")
        if not (secret.isascii() and secret.isprintable()):
            raise refuse("remote.key", name, "a key of printable ASCII letters in one line", f"look at what {name} holds")
        return secret

    def _clean(self, answer: Any) -> Any:
        """The answer without the key, should the server repeat it (a short one may be a word, and nobody's secret)."""
        secret, text = json.dumps(self._secret())[1:-1], json.dumps(answer)
        return json.loads(text.replace(secret, "***")) if len(secret) >= SECRET and secret in text else answer

    def _words(self, said: bytes) -> str:
        """A server's words, in a line that is safe on a terminal, without the key or a half of it where they were cut off."""
        secret, text = self._secret(), said.decode("utf-8", "replace").replace("\\/", "/")
        if len(secret) >= SECRET:
            text = text.replace(secret, "***")
            half = next((n for n in range(len(secret) - 1, 0, -1) if text.endswith(secret[:n])), 0)
            text = text[: len(text) - half]
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]

    def _heard(self, e: urllib.error.HTTPError) -> str:
        try:
            with e:
                return self._words(e.read(2000)) or self._words(str(e.reason).encode())
        except (OSError, HTTPException):
            return self._words(str(e.reason).encode())

    def _mend(self, code: int) -> str:
        if code in (401, 403):
            missing = "give key=, the name of the environment variable that holds the key"
            return f"is the key in {self.key} right?" if self.key else missing
        return f"does the server know the model '{self.model}', and the path?"


def from_address(address: str) -> Client:
    """`openai:<url>?model=<name>&key=<ENV>&budget=500requests,2000000tokens,5&price=<in>/<out>&topk=20` -> a client.

    Also cache (a folder), temperature, max_tokens, timeout, retries and wait, as in `Client`. budget: see `Budget.read`.
    Raises `Refused`.
    """
    at = parse(address)
    if at.scheme != "openai":
        raise refuse("teacher", at.scheme, "openai:<url>?model=<name>")
    replace(at, options=dict.fromkeys(at.options, "...")).only(OPTIONS)  # a value may be a key, by mistake
    given = at.options
    how: dict[str, Any] = {n: given[n] for n in ("key", "cache") if n in given}
    how.update((n, _float(n, given[n])) for n in ("temperature", "timeout", "wait") if n in given)
    how.update((n, whole(n, given[n], 0, 10**9)) for n in ("topk", "max_tokens", "retries") if n in given)
    return Client(at.place, given.get("model", ""), budget=Budget.read(given.get("budget", ""), given.get("price", "")), **how)


class Remote(nn.Module):
    """Rows in, rows out: `ask` makes a row into messages, `read` makes the answer's text into a row; x [N, ...] ... -> [N, ...]

    Rows are asked `workers` at a time; the rest is as in `Client`. Every question carries a seed from torch's stream: a resumed
    run draws the same seeds, and asks nothing twice. Raises `Refused`.
    """

    def __init__(self, url: str, model: str, ask: Callable[..., Messages], read: Callable[[str], Tensor], *,
                 key: str | None = None, timeout: float = 60.0, retries: int = 4, wait: float = 1.0, workers: int = 8,
                 cache: str | Path | None = None, temperature: float = 1.0, max_tokens: int = 256,
                 budget: Budget | None = None) -> None:  # fmt: skip
        super().__init__()
        self.client = Client(url, model, key=key, timeout=timeout, retries=retries, wait=wait, cache=cache,
                             temperature=temperature, max_tokens=max_tokens, budget=budget)  # fmt: skip
        self.ask, self.read, self.workers = ask, read, whole("remote.workers", workers, 1, 10**6)

    def __deepcopy__(self, _memo: Any) -> Remote:
        return self  # nothing in it learns, and copies share what was answered

    @torch.no_grad()
    def forward(self, *x: Tensor) -> Tensor:
        seeds = torch.randint(2**31, (len(x[0]),)).tolist()
        asked = [self.ask(*row) for row in zip(*(v.cpu() for v in x), strict=True)]
        with ThreadPoolExecutor(self.workers) as pool:
            answers = list(pool.map(self.client.write, asked, seeds))
        return torch.stack([self.read(a.text) for a in answers]).to(x[0].device)


def _digest(name: str, answer: Any) -> str:
    """Of an answer and the question it is to: a disk that lies, or a file under another's name, is noticed."""
    return hashlib.blake2b(f"{name}\n{json.dumps(answer, sort_keys=True)}".encode(), digest_size=16).hexdigest()


def _float(field: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise refuse(field, value, "a number") from None
